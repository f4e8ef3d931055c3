# The values most people set. What a module can do beyond them, and its validations, is in
# modules/*/variables.tf.

variable "name" {
  description = "Name of the system, such as `shop`; everything is called NAME-ENVIRONMENT-…"
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9]|-[a-z0-9]){0,15}$", var.name))
    error_message = "name: use at most 16 lower-case letters, digits and single hyphens, beginning with a letter."
  }
}

variable "environment" {
  description = "`dev`, `staging` or `prod`. In prod nothing that protects data can be switched off."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment: dev, staging or prod."
  }
}

variable "tags" {
  description = "Tags of every resource, beside Name, System and Environment."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "tags: keys that begin with aws: are reserved; choose another prefix."
  }
}

# --- network ---------------------------------------------------------------------------------

variable "create_vpc" {
  description = "Make a VPC with private subnets only; otherwise use vpc_id and private_subnet_ids."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.create_vpc == (var.vpc_id == null)
    error_message = "create_vpc: with an existing VPC set create_vpc = false and name it in vpc_id; without one leave vpc_id null."
  }
}

variable "vpc_cidr" {
  description = "Addresses of a new VPC. Must not overlap the self-hosted network, which is to be routed."
  type        = string
  default     = "10.60.0.0/20"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && can(regex("/(1[6-9]|2[0-2])$", var.vpc_cidr))
    error_message = "vpc_cidr: an IPv4 range from /16 to /22, such as 10.60.0.0/20."
  }
}

variable "availability_zones" {
  description = "Zones of a new VPC, at least two."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = !var.create_vpc || (length(distinct(var.availability_zones)) >= 2 && length(var.availability_zones) <= 4)
    error_message = "availability_zones: a new VPC needs two to four zones, such as [\"eu-west-1a\", \"eu-west-1b\"]."
  }
}

variable "vpc_id" {
  description = "An existing VPC."
  type        = string
  default     = null

  validation {
    condition     = var.vpc_id == null || can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id: the id of a VPC, vpc-…"
  }
}

variable "private_subnet_ids" {
  description = "Private subnets of an existing VPC, in at least two zones."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = var.create_vpc || length(distinct(var.private_subnet_ids)) >= 2
    error_message = "private_subnet_ids: with create_vpc = false name at least two private subnets, in different zones."
  }
}

variable "create_endpoints" {
  description = "Interface endpoints for Secrets Manager, STS and Logs, so that the subnets need no way out."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.create_endpoints || !var.create_vpc
    error_message = "create_endpoints: a VPC made here has no NAT, so without endpoints no secret could be fetched; keep it true."
  }
}

variable "source_cidrs" {
  description = "Networks of the self-hosted databases, for replication in both directions while both sides are in use. Empty once they are retired."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for one in var.source_cidrs : can(cidrhost(one, 0)) && can(regex("/([89]|[12][0-9]|3[0-2])$", one))])
    error_message = "source_cidrs: IPv4 ranges from /8 to /32; 0.0.0.0/0 is not a network of yours."
  }
}

variable "source_postgres_port" {
  description = "Port of the self-hosted PostgreSQL."
  type        = number
  default     = 5432
  nullable    = false

  validation {
    condition     = var.source_postgres_port >= 1 && var.source_postgres_port <= 65535
    error_message = "source_postgres_port: 1 to 65535."
  }
}

variable "source_redis_port" {
  description = "Port of the self-hosted Redis."
  type        = number
  default     = 6379
  nullable    = false

  validation {
    condition     = var.source_redis_port >= 1 && var.source_redis_port <= 65535
    error_message = "source_redis_port: 1 to 65535."
  }
}

# --- PostgreSQL ------------------------------------------------------------------------------

variable "postgres" {
  description = "Settings of modules/rds-postgresql that differ from its defaults."
  type = object({
    engine_version                = optional(string, "17")
    instance_class                = optional(string, "db.m7g.large")
    allocated_storage_gib         = optional(number, 100)
    max_allocated_storage_gib     = optional(number, 1000)
    storage_iops                  = optional(number)
    storage_throughput_mibps      = optional(number)
    database_name                 = optional(string)
    multi_az                      = optional(bool, true)
    read_replica_count            = optional(number, 0)
    deletion_protection           = optional(bool, true)
    backup_retention_days         = optional(number, 14)
    backup_window                 = optional(string, "02:00-03:00")
    maintenance_window            = optional(string, "sun:04:00-sun:05:00")
    blue_green_update             = optional(bool, false)
    replication_slots             = optional(number, 20)
    slot_wal_keep_mib             = optional(number, 51200)
    master_password_rotation_days = optional(number)
    snapshot_identifier           = optional(string)
    parameters                    = optional(list(object({ name = string, value = string, apply_method = optional(string, "pending-reboot") })), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.environment != "prod" || (var.postgres.multi_az && var.postgres.deletion_protection)
    error_message = "postgres: in prod multi_az and deletion_protection stay true."
  }

  validation {
    condition     = var.environment != "prod" || var.postgres.backup_retention_days >= 14
    error_message = "postgres: in prod backup_retention_days is 14 at least."
  }
}

variable "postgres_app_user" {
  description = "Role of the application on the managed side; logs in by IAM."
  type        = string
  default     = "app"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_]{0,62}$", var.postgres_app_user))
    error_message = "postgres_app_user: a role name of lower-case letters, digits and underscores."
  }
}

# --- cache -----------------------------------------------------------------------------------

variable "cache" {
  description = "Settings of modules/elasticache-redis that differ from its defaults; null for no cache."
  type = object({
    engine                         = optional(string, "valkey")
    engine_version                 = optional(string, "8.0")
    serverless                     = optional(bool, false)
    serverless_storage_gb_max      = optional(number, 10)
    serverless_ecpu_per_second_max = optional(number, 10000)
    node_type                      = optional(string, "cache.m7g.large")
    cluster_mode                   = optional(bool, false)
    shard_count                    = optional(number, 1)
    replicas_per_shard             = optional(number, 1)
    migration_phase                = optional(string, "steady")
    app_user                       = optional(string, "app")
    maxmemory_policy               = optional(string, "noeviction")
    snapshot_retention_days        = optional(number, 7)
    snapshot_arns                  = optional(list(string), [])
    apply_immediately              = optional(bool, false)
  })
  default = {}

  validation {
    condition     = var.cache == null || try(var.cache.migration_phase, "") != "online_migration" || length(var.source_cidrs) > 0
    error_message = "cache: online_migration reads from the self-hosted Redis; name its network in source_cidrs."
  }
}

# --- Pontoon's configuration -----------------------------------------------------------------

variable "postgres_service" {
  description = "Name of the PostgreSQL service in Pontoon's configuration, for the output sidecar_config."
  type        = string
  default     = "orders"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,62}$", var.postgres_service))
    error_message = "postgres_service: lower-case letters, digits and hyphens, beginning with a letter, as in Pontoon's configuration."
  }
}

variable "cache_service" {
  description = "Name of the Redis service in Pontoon's configuration, for the output sidecar_config."
  type        = string
  default     = "cache"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,62}$", var.cache_service)) && var.cache_service != var.postgres_service
    error_message = "cache_service: lower-case letters, digits and hyphens, beginning with a letter, and another name than postgres_service."
  }
}

# --- alarms ----------------------------------------------------------------------------------

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to; empty makes one."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for one in var.alarm_topic_arns : can(regex("^arn:[a-z-]+:sns:", one))])
    error_message = "alarm_topic_arns: ARNs of SNS topics (arn:aws:sns:REGION:ACCOUNT:NAME)."
  }
}

variable "alarm_emails" {
  description = "Subscribers of the topic made here; each has to confirm the mail that AWS sends."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for one in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", one))])
    error_message = "alarm_emails: mail addresses."
  }

  validation {
    condition     = length(var.alarm_emails) == 0 || length(var.alarm_topic_arns) == 0
    error_message = "alarm_emails: subscribers of your own topics are yours to manage; leave it empty with alarm_topic_arns."
  }
}

variable "alarm_thresholds" {
  description = "Where alarms begin. Retune them after the cutover from a week of figures."
  type = object({
    cpu_percent                  = optional(number, 80)
    free_storage_percent         = optional(number, 15)
    freeable_memory_mib          = optional(number, 512)
    database_connections         = optional(number, 400)
    replica_lag_seconds          = optional(number, 60)
    oldest_slot_lag_gib          = optional(number, 10)
    wal_disk_gib                 = optional(number, 30)
    cache_engine_cpu_percent     = optional(number, 75)
    cache_memory_percent         = optional(number, 80)
    cache_evictions_per_minute   = optional(number, 100)
    cache_connections            = optional(number, 20000)
    cache_replica_lag_seconds    = optional(number, 10)
    serverless_throttles_per_min = optional(number, 1)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name, value in var.alarm_thresholds : value > 0])
    error_message = "alarm_thresholds: every threshold is above 0."
  }

  validation {
    condition     = alltrue([for name, value in var.alarm_thresholds : value <= 100 if endswith(name, "_percent")])
    error_message = "alarm_thresholds: a percentage is at most 100."
  }
}
