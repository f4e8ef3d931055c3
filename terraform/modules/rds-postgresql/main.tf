# An RDS instance for PostgreSQL that a self-hosted server can be moved onto: ready for logical
# replication in both directions from its first start, encrypted, private, watched.

data "aws_partition" "current" {}

locals {
  major  = split(".", var.engine_version)[0]
  family = "postgres${local.major}"

  # What replication needs at the target, and the reverse path after a cutover needs here too.
  # All but the last two are read at server start only.
  replication_parameters = [
    { name = "rds.logical_replication", value = "1", apply_method = "pending-reboot" },
    { name = "max_replication_slots", value = tostring(var.replication_slots), apply_method = "pending-reboot" },
    { name = "max_wal_senders", value = tostring(var.replication_slots + 5), apply_method = "pending-reboot" },
    { name = "max_logical_replication_workers", value = tostring(var.replication_slots), apply_method = "pending-reboot" },
    { name = "max_worker_processes", value = tostring(var.replication_slots + 16), apply_method = "pending-reboot" },
    { name = "max_slot_wal_keep_size", value = tostring(var.slot_wal_keep_mib), apply_method = "immediate" },
    { name = "rds.force_ssl", value = "1", apply_method = "immediate" },
  ]
}

resource "aws_db_subnet_group" "this" {
  name_prefix = "${var.name}-"
  description = "Private subnets of ${var.name}."
  subnet_ids  = var.subnet_ids
  tags        = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-${local.family}-"
  family      = local.family
  description = "Logical replication and forced TLS for ${var.name}."
  tags        = var.tags

  dynamic "parameter" {
    for_each = concat(local.replication_parameters, var.parameters)
    content {
      name         = parameter.value.name
      value        = parameter.value.value
      apply_method = parameter.value.apply_method
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_option_group" "this" {
  count = var.create_option_group ? 1 : 0

  name_prefix              = "${var.name}-"
  engine_name              = "postgres"
  major_engine_version     = local.major
  option_group_description = "Options of ${var.name}."
  tags                     = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

# Made before the instance, which would otherwise make groups that never expire.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

data "aws_iam_policy_document" "monitoring" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "monitoring" {
  name_prefix        = "${substr(var.name, 0, 26)}-monitoring-"
  description        = "Enhanced monitoring of ${var.name}."
  assume_role_policy = data.aws_iam_policy_document.monitoring.json
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class
  port           = var.port

  db_name             = var.database_name
  snapshot_identifier = var.snapshot_identifier

  storage_type          = "gp3"
  allocated_storage     = var.allocated_storage_gib
  max_allocated_storage = var.max_allocated_storage_gib
  iops                  = var.storage_iops
  storage_throughput    = var.storage_throughput_mibps
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn

  username                            = var.snapshot_identifier == null ? var.master_username : null
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = var.kms_key_arn
  iam_database_authentication_enabled = true
  ca_cert_identifier                  = var.ca_certificate_identifier

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = var.security_group_ids
  publicly_accessible    = false
  multi_az               = var.multi_az
  parameter_group_name   = aws_db_parameter_group.this.name
  option_group_name      = one(aws_db_option_group.this[*].name)

  backup_retention_period   = var.backup_retention_days
  backup_window             = var.backup_window
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-final"
  deletion_protection       = var.deletion_protection

  maintenance_window          = var.maintenance_window
  auto_minor_version_upgrade  = var.auto_minor_version_upgrade
  allow_major_version_upgrade = false
  apply_immediately           = var.apply_immediately

  enabled_cloudwatch_logs_exports       = keys(aws_cloudwatch_log_group.this)
  monitoring_interval                   = var.monitoring_interval_seconds
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  database_insights_mode                = var.database_insights_mode
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.kms_key_arn
  performance_insights_retention_period = var.performance_insights_retention_days

  tags = var.tags

  dynamic "blue_green_update" {
    for_each = var.blue_green_update ? [true] : []
    content {
      enabled = true
    }
  }

  lifecycle {
    # The master name of a restored instance is the snapshot's.
    ignore_changes = [snapshot_identifier, username]

    precondition {
      condition     = var.database_insights_mode != "advanced" || var.performance_insights_retention_days == 465
      error_message = "database_insights_mode = \"advanced\" needs performance_insights_retention_days = 465."
    }
    precondition {
      condition     = !var.blue_green_update || var.backup_retention_days > 0
      error_message = "blue_green_update needs automated backups: set backup_retention_days above 0."
    }
  }

  depends_on = [aws_iam_role_policy_attachment.monitoring]
}

resource "aws_secretsmanager_secret_rotation" "master" {
  count = var.master_password_rotation_days == null ? 0 : 1

  secret_id = aws_db_instance.this.master_user_secret[0].secret_arn

  rotation_rules {
    automatically_after_days = var.master_password_rotation_days
  }
}

resource "aws_db_instance" "replica" {
  count = var.read_replica_count

  identifier          = "${var.name}-replica-${count.index + 1}"
  replicate_source_db = aws_db_instance.this.identifier
  instance_class      = var.instance_class
  port                = var.port

  storage_type          = "gp3"
  max_allocated_storage = var.max_allocated_storage_gib
  storage_encrypted     = true

  iam_database_authentication_enabled = true
  ca_cert_identifier                  = var.ca_certificate_identifier
  vpc_security_group_ids              = var.security_group_ids
  publicly_accessible                 = false
  parameter_group_name                = aws_db_parameter_group.this.name

  # Of a replica the primary's backups are the backups.
  backup_retention_period    = 0
  skip_final_snapshot        = true
  deletion_protection        = var.deletion_protection
  copy_tags_to_snapshot      = true
  maintenance_window         = var.maintenance_window
  auto_minor_version_upgrade = var.auto_minor_version_upgrade
  apply_immediately          = var.apply_immediately

  enabled_cloudwatch_logs_exports       = ["postgresql"]
  monitoring_interval                   = var.monitoring_interval_seconds
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.kms_key_arn
  performance_insights_retention_period = var.performance_insights_retention_days

  tags = var.tags
}
