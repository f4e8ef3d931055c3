variable "name" {
  description = "Name of the cache; other resources are named after it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9]|-[a-z0-9]){0,31}$", var.name))
    error_message = "name: use at most 32 lower-case letters, digits and single hyphens, beginning with a letter."
  }
}

variable "description" {
  description = "Description shown in the console."
  type        = string
  default     = "Managed by Terraform for a migration with Pontoon."
  nullable    = false

  validation {
    condition     = length(trimspace(var.description)) > 0 && length(var.description) <= 255
    error_message = "description: 1 to 255 characters."
  }
}

variable "engine" {
  description = "`valkey` or `redis`."
  type        = string
  default     = "valkey"
  nullable    = false

  validation {
    condition     = contains(["valkey", "redis"], var.engine)
    error_message = "engine: valkey or redis."
  }
}

variable "engine_version" {
  description = "Version: of valkey 7.2 or 8.x, of redis 7.0 or 7.1. Older ones take no IAM login."
  type        = string
  default     = "8.0"
  nullable    = false

  validation {
    condition     = var.engine == "valkey" ? can(regex("^(7\\.2|8\\.[0-9])$", var.engine_version)) : can(regex("^7\\.[01]$", var.engine_version))
    error_message = "engine_version: valkey has 7.2 and 8.0 upwards, redis 7.0 and 7.1 (as \"7.1\"); with engine = \"redis\" set it."
  }
}

variable "serverless" {
  description = "A serverless cache instead of nodes."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.serverless || var.migration_phase == "steady"
    error_message = "serverless: online migration needs nodes, because a serverless cache always asks for TLS; use migration_phase = \"steady\", or nodes first and a snapshot of them in snapshot_arns."
  }
}

variable "serverless_storage_gb_max" {
  description = "Upper bound of what a serverless cache stores."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.serverless_storage_gb_max >= 1 && var.serverless_storage_gb_max <= 5000
    error_message = "serverless_storage_gb_max: 1 to 5000; at this bound keys are evicted or writes refused, so leave room."
  }
}

variable "serverless_ecpu_per_second_max" {
  description = "Upper bound of ECPUs per second of a serverless cache."
  type        = number
  default     = 10000
  nullable    = false

  validation {
    condition     = var.serverless_ecpu_per_second_max >= 1000 && var.serverless_ecpu_per_second_max <= 15000000
    error_message = "serverless_ecpu_per_second_max: 1000 to 15000000; above it commands are throttled."
  }
}

variable "node_type" {
  description = "Node type; `pontoon plan` proposes one from measured memory and load."
  type        = string
  default     = "cache.m7g.large"
  nullable    = false

  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.node_type))
    error_message = "node_type: use the form cache.FAMILY.SIZE, such as cache.m7g.large."
  }
}

variable "cluster_mode" {
  description = "Shard the key space; clients see a Redis cluster."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = var.cluster_mode || var.shard_count == 1
    error_message = "cluster_mode: several shards need cluster_mode = true; otherwise set shard_count = 1."
  }
}

variable "shard_count" {
  description = "Shards in cluster mode."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.shard_count >= 1 && var.shard_count <= 500 && floor(var.shard_count) == var.shard_count
    error_message = "shard_count: 1 to 500."
  }
}

variable "replicas_per_shard" {
  description = "Replicas of each shard; one at least, because failover needs somewhere to go."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.replicas_per_shard >= 1 && var.replicas_per_shard <= 5 && floor(var.replicas_per_shard) == var.replicas_per_shard
    error_message = "replicas_per_shard: 1 to 5; with none there is no failover."
  }
}

variable "port" {
  description = "Port of the nodes; a serverless cache always has 6379."
  type        = number
  default     = 6379
  nullable    = false

  validation {
    condition     = var.port >= 1024 && var.port <= 65535 && (!var.serverless || var.port == 6379)
    error_message = "port: 1024 to 65535; a serverless cache has 6379."
  }
}

variable "subnet_ids" {
  description = "Private subnets in at least two availability zones."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "subnet_ids: name at least two subnets, in different availability zones."
  }
}

variable "security_group_ids" {
  description = "Security groups of the cache."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.security_group_ids) >= 1
    error_message = "security_group_ids: name at least one, otherwise the cache takes the default group of the VPC."
  }
}

variable "kms_key_arn" {
  description = "Key for the data at rest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn: give the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID)."
  }
}

variable "migration_phase" {
  description = "`online_migration`: no TLS and no login, as ElastiCache's own online migration demands. `tls_preferred`: TLS beside plain text. `steady`: TLS only, with a login. Move one step per apply."
  type        = string
  default     = "steady"
  nullable    = false

  validation {
    condition     = contains(["online_migration", "tls_preferred", "steady"], var.migration_phase)
    error_message = "migration_phase: online_migration, tls_preferred or steady."
  }
}

variable "app_user" {
  description = "ACL user of the application; logs in by IAM. Its id and its name are the same, as IAM demands. Null where auth_token is used."
  type        = string
  default     = "app"

  validation {
    condition     = var.app_user == null || (can(regex("^[a-z][a-z0-9-]{0,39}$", var.app_user)) && var.app_user != "default")
    error_message = "app_user: at most 40 lower-case letters, digits and hyphens, beginning with a letter, and not \"default\", which cannot log in by IAM."
  }

  validation {
    condition     = (var.app_user == null) != (var.auth_token == null)
    error_message = "app_user: use either app_user (IAM) or auth_token; set app_user = null with an auth_token."
  }
}

variable "app_access_string" {
  description = "What the application's user may do, as a Redis ACL."
  type        = string
  default     = "on ~* &* +@all -@dangerous +info +keys +sort +scan"
  nullable    = false

  validation {
    condition     = startswith(var.app_access_string, "on ")
    error_message = "app_access_string: begin with \"on \", otherwise the user cannot log in."
  }
}

variable "auth_token" {
  description = "One password for everybody, where an application cannot use ACL users. Stands in Terraform's state."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.auth_token == null || can(regex("^[^@\"/\\s]{16,128}$", var.auth_token))
    error_message = "auth_token: 16 to 128 printable characters without @, quotes, slash and space."
  }

  validation {
    condition     = var.auth_token == null || !var.serverless
    error_message = "auth_token: a serverless cache has ACL users only; use app_user."
  }
}

variable "parameters" {
  description = "Further parameters of the parameter group."
  type = list(object({
    name  = string
    value = string
  }))
  default  = []
  nullable = false

  validation {
    condition     = !contains([for one in var.parameters : one.name], "cluster-enabled")
    error_message = "parameters: cluster-enabled follows cluster_mode."
  }
}

variable "maxmemory_policy" {
  description = "What happens when memory is full; take over what the self-hosted server has."
  type        = string
  default     = "noeviction"
  nullable    = false

  validation {
    condition = contains([
      "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
    ], var.maxmemory_policy)
    error_message = "maxmemory_policy: a policy of Redis, such as noeviction or allkeys-lru; see CONFIG GET maxmemory-policy on the self-hosted server."
  }
}

variable "reserved_memory_percent" {
  description = "Share of memory kept for snapshots and failover."
  type        = number
  default     = 25
  nullable    = false

  validation {
    condition     = var.reserved_memory_percent >= 10 && var.reserved_memory_percent <= 50
    error_message = "reserved_memory_percent: 10 to 50; less makes a snapshot under writes risky."
  }
}

variable "maintenance_window" {
  description = "Weekly maintenance window in UTC."
  type        = string
  default     = "sun:05:00-sun:06:00"
  nullable    = false

  validation {
    condition     = can(regex("^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$", var.maintenance_window))
    error_message = "maintenance_window: use ddd:hh:mm-ddd:hh:mm in UTC, such as sun:05:00-sun:06:00."
  }
}

variable "snapshot_window" {
  description = "Daily snapshot window in UTC."
  type        = string
  default     = "03:00-04:00"
  nullable    = false

  validation {
    condition     = can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$", var.snapshot_window))
    error_message = "snapshot_window: use hh:mm-hh:mm in UTC, such as 03:00-04:00."
  }
}

variable "snapshot_retention_days" {
  description = "Days that automatic snapshots are kept."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.snapshot_retention_days >= 7 && var.snapshot_retention_days <= 35
    error_message = "snapshot_retention_days: 7 to 35."
  }
}

variable "snapshot_arns" {
  description = "RDB files in S3 to seed the cache from (arn:aws:s3:::BUCKET/FILE.rdb)."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for one in var.snapshot_arns : can(regex("^arn:[a-z-]+:(s3:::[^,]+/[^,]+|elasticache:.+)$", one))])
    error_message = "snapshot_arns: ARNs of files in S3 (arn:aws:s3:::BUCKET/FILE.rdb), for a serverless cache of ElastiCache snapshots; no commas."
  }
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps slow and engine logs."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days: a retention that CloudWatch Logs knows, from 7, 14, 30, 60, 90 up to 3653."
  }
}

variable "apply_immediately" {
  description = "Apply changes at once instead of in the maintenance window."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = var.apply_immediately || var.migration_phase != "tls_preferred"
    error_message = "apply_immediately: in migration_phase = \"tls_preferred\" set it to true; a change of TLS must not wait for the window while the next step follows."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "tags: keys that begin with aws: are reserved; choose another prefix."
  }
}
