variable "name" {
  description = "Name of the instance; other resources are named after it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9]|-[a-z0-9]){0,47}$", var.name))
    error_message = "name: use at most 48 lower-case letters, digits and single hyphens, beginning with a letter."
  }
}

variable "engine_version" {
  description = "Major version; with a minor too only without auto_minor_version_upgrade."
  type        = string
  default     = "17"
  nullable    = false

  validation {
    condition     = can(regex("^(15|16|17|18)(\\.[0-9]{1,2})?$", var.engine_version))
    error_message = "engine_version: name a PostgreSQL version that Pontoon is tested with, 15 to 18, such as \"17\" or \"17.5\"."
  }
}

variable "instance_class" {
  description = "Instance class; `pontoon plan` proposes one from measured load."
  type        = string
  default     = "db.m7g.large"
  nullable    = false

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "instance_class: use the form db.FAMILY.SIZE, such as db.m7g.large."
  }
}

variable "allocated_storage_gib" {
  description = "Storage at the start."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.allocated_storage_gib >= 20 && var.allocated_storage_gib <= 65536 && floor(var.allocated_storage_gib) == var.allocated_storage_gib
    error_message = "allocated_storage_gib: gp3 takes whole GiB from 20 to 65536."
  }
}

variable "max_allocated_storage_gib" {
  description = "Up to where storage grows by itself."
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.max_allocated_storage_gib <= 65536 && var.max_allocated_storage_gib >= var.allocated_storage_gib * 1.1
    error_message = "max_allocated_storage_gib: must be at least 10% above allocated_storage_gib and at most 65536; RDS refuses a closer limit."
  }
}

variable "storage_iops" {
  description = "Provisioned IOPS of gp3; null takes the baseline of 3000 (12000 from 400 GiB)."
  type        = number
  default     = null

  validation {
    condition     = var.storage_iops == null || (var.allocated_storage_gib >= 400 && coalesce(var.storage_iops, 12000) >= 12000 && coalesce(var.storage_iops, 12000) <= 64000)
    error_message = "storage_iops: RDS for PostgreSQL takes 12000 to 64000, and only from 400 GiB; leave it null below."
  }
}

variable "storage_throughput_mibps" {
  description = "Provisioned throughput of gp3; null takes the baseline."
  type        = number
  default     = null

  validation {
    condition     = var.storage_throughput_mibps == null || (var.allocated_storage_gib >= 400 && coalesce(var.storage_throughput_mibps, 500) >= 500 && coalesce(var.storage_throughput_mibps, 500) <= 4000)
    error_message = "storage_throughput_mibps: RDS for PostgreSQL takes 500 to 4000, and only from 400 GiB; leave it null below."
  }
}

variable "database_name" {
  description = "Database to create. Null when restoring, or when Pontoon creates it with the schema."
  type        = string
  default     = null

  validation {
    condition     = var.database_name == null || can(regex("^[A-Za-z][A-Za-z0-9_]{0,62}$", var.database_name))
    error_message = "database_name: begin with a letter; letters, digits and underscores, at most 63."
  }
}

variable "master_username" {
  description = "Master user. Its password is made, kept and rotated by RDS in Secrets Manager."
  type        = string
  default     = "administrator"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_]{0,62}$", var.master_username)) && !contains(["admin", "postgres", "rdsadmin", "rds_superuser"], lower(var.master_username)) && !startswith(lower(var.master_username), "pg_")
    error_message = "master_username: letters, digits and underscores, beginning with a letter; not admin, postgres, rdsadmin, rds_superuser or pg_*."
  }
}

variable "master_password_rotation_days" {
  description = "Days between rotations of the master password; null keeps the 7 days of RDS."
  type        = number
  default     = null

  validation {
    condition     = var.master_password_rotation_days == null || (coalesce(var.master_password_rotation_days, 1) >= 1 && coalesce(var.master_password_rotation_days, 1) <= 1000)
    error_message = "master_password_rotation_days: 1 to 1000, or null for the 7 days that RDS takes by itself."
  }
}

variable "port" {
  description = "Port of the instance."
  type        = number
  default     = 5432
  nullable    = false

  validation {
    condition     = var.port >= 1150 && var.port <= 65535
    error_message = "port: RDS takes 1150 to 65535."
  }
}

variable "subnet_ids" {
  description = "Private subnets in at least two availability zones."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "subnet_ids: name at least two subnets, in different availability zones; RDS needs them also for one instance."
  }
}

variable "security_group_ids" {
  description = "Security groups of the instance."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.security_group_ids) >= 1
    error_message = "security_group_ids: name at least one, otherwise RDS takes the default group of the VPC."
  }
}

variable "kms_key_arn" {
  description = "Key for storage, insights and the master password."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn: give the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID)."
  }
}

variable "multi_az" {
  description = "Keep a standby in a second availability zone."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.multi_az || !var.deletion_protection
    error_message = "multi_az: an instance worth deletion_protection is worth a standby; set multi_az = true, or both to false for a throw-away one."
  }
}

variable "read_replica_count" {
  description = "Read replicas beside the standby."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.read_replica_count >= 0 && var.read_replica_count <= 5 && floor(var.read_replica_count) == var.read_replica_count
    error_message = "read_replica_count: 0 to 5."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the instance."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.deletion_protection || var.read_replica_count == 0
    error_message = "deletion_protection: an instance with read replicas keeps it; set read_replica_count = 0 first when it is really to go."
  }
}

variable "backup_retention_days" {
  description = "Days of point-in-time recovery."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = var.backup_retention_days >= 7 && var.backup_retention_days <= 35
    error_message = "backup_retention_days: 7 to 35."
  }
}

variable "backup_window" {
  description = "Daily backup window in UTC."
  type        = string
  default     = "02:00-03:00"
  nullable    = false

  validation {
    condition     = can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$", var.backup_window))
    error_message = "backup_window: use hh:mm-hh:mm in UTC, such as 02:00-03:00."
  }
}

variable "maintenance_window" {
  description = "Weekly maintenance window in UTC; must not overlap the backup window."
  type        = string
  default     = "sun:04:00-sun:05:00"
  nullable    = false

  validation {
    condition     = can(regex("^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$", var.maintenance_window))
    error_message = "maintenance_window: use ddd:hh:mm-ddd:hh:mm in UTC, such as sun:04:00-sun:05:00."
  }
}

variable "auto_minor_version_upgrade" {
  description = "Take minor versions in the maintenance window."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = !var.auto_minor_version_upgrade || !strcontains(var.engine_version, ".")
    error_message = "auto_minor_version_upgrade: with it, name only the major in engine_version (\"17\"); a minor would make Terraform ask for a downgrade after the first upgrade."
  }
}

variable "apply_immediately" {
  description = "Apply changes at once instead of in the maintenance window."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.apply_immediately || !var.blue_green_update
    error_message = "apply_immediately: blue_green_update decides when changes happen; use one of the two."
  }
}

variable "blue_green_update" {
  description = "Make changes on a copy and switch over. Not while either side replicates logically with the self-hosted server: RDS refuses to copy such an instance."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.blue_green_update || var.read_replica_count == 0
    error_message = "blue_green_update: Terraform cannot follow a blue/green update of an instance with read replicas; set read_replica_count = 0 or update in place."
  }
}

variable "monitoring_interval_seconds" {
  description = "Enhanced monitoring."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = contains([1, 5, 10, 15, 30, 60], var.monitoring_interval_seconds)
    error_message = "monitoring_interval_seconds: 1, 5, 10, 15, 30 or 60."
  }
}

variable "database_insights_mode" {
  description = "`standard`, or `advanced` with 15 months of history."
  type        = string
  default     = "standard"
  nullable    = false

  validation {
    condition     = contains(["standard", "advanced"], var.database_insights_mode)
    error_message = "database_insights_mode: standard or advanced."
  }
}

variable "performance_insights_retention_days" {
  description = "Days of Performance Insights; 7 cost nothing."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = contains([7, 465, 731], var.performance_insights_retention_days) || (var.performance_insights_retention_days % 31 == 0 && var.performance_insights_retention_days >= 31 && var.performance_insights_retention_days <= 713)
    error_message = "performance_insights_retention_days: 7, a multiple of 31 up to 713, 465 (advanced Database Insights) or 731."
  }
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps the server's log."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days: a retention that CloudWatch Logs knows, from 7, 14, 30, 60, 90 up to 3653."
  }
}

variable "ca_certificate_identifier" {
  description = "CA of the server certificate. Pontoon's `ca: aws-rds` trusts all of these."
  type        = string
  default     = "rds-ca-rsa2048-g1"
  nullable    = false

  validation {
    condition     = contains(["rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1"], var.ca_certificate_identifier)
    error_message = "ca_certificate_identifier: rds-ca-rsa2048-g1, rds-ca-rsa4096-g1 or rds-ca-ecc384-g1."
  }
}

variable "replication_slots" {
  description = "Room for replication slots, as many WAL senders and their workers: each synchronised database needs one per direction, initial copies one more each."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.replication_slots >= 5 && var.replication_slots <= 200
    error_message = "replication_slots: 5 to 200; the sync of one database needs about 5 while tables are copied."
  }
}

variable "slot_wal_keep_mib" {
  description = "WAL that an unread slot may hold back before the server gives it up."
  type        = number
  default     = 51200
  nullable    = false

  validation {
    condition     = var.slot_wal_keep_mib >= 1024 && var.slot_wal_keep_mib <= var.allocated_storage_gib * 1024 * 0.6
    error_message = "slot_wal_keep_mib: at least 1024 and at most 60% of allocated_storage_gib, otherwise an unread slot fills the disk before it is given up."
  }
}

variable "parameters" {
  description = "Further parameters of the parameter group."
  type = list(object({
    name         = string
    value        = string
    apply_method = optional(string, "pending-reboot")
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for one in var.parameters : contains(["immediate", "pending-reboot"], one.apply_method)])
    error_message = "parameters: apply_method is immediate (dynamic parameters only) or pending-reboot."
  }

  validation {
    condition = length(setintersection([for one in var.parameters : one.name], [
      "rds.logical_replication", "rds.force_ssl", "max_replication_slots", "max_wal_senders", "max_logical_replication_workers", "max_worker_processes", "max_slot_wal_keep_size",
    ])) == 0
    error_message = "parameters: the module sets rds.logical_replication, rds.force_ssl and the limits of replication itself; use replication_slots and slot_wal_keep_mib."
  }
}

variable "create_option_group" {
  description = "An option group of its own. PostgreSQL on RDS has no options to put in, so the default group does."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.create_option_group || !var.blue_green_update
    error_message = "create_option_group: RDS takes no major version by blue/green with an option group of your own; use the default group or update in place."
  }
}

variable "snapshot_identifier" {
  description = "Snapshot to restore from, for a rehearsal or after a disaster."
  type        = string
  default     = null

  validation {
    condition     = var.snapshot_identifier == null || var.database_name == null
    error_message = "snapshot_identifier: a restored instance has its databases already; leave database_name null."
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
