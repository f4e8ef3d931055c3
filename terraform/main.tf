# The managed side of a migration: network, keys and secrets, PostgreSQL, cache, alarms, dashboard.
# The caller brings the provider (region, credentials) and the backend; see examples/.

data "aws_region" "current" {}
data "aws_partition" "current" {}

locals {
  prefix = "${var.name}-${var.environment}"
  tags   = merge({ System = var.name, Environment = var.environment }, var.tags)
  caches = var.cache == null ? {} : { main = var.cache }
}

module "postgres" {
  source = "./modules/rds-postgresql"

  name               = "${local.prefix}-postgres"
  subnet_ids         = local.private_subnet_ids
  security_group_ids = [aws_security_group.database.id]
  kms_key_arn        = aws_kms_key.this.arn
  tags               = local.tags

  engine_version                = var.postgres.engine_version
  auto_minor_version_upgrade    = !strcontains(var.postgres.engine_version, ".")
  instance_class                = var.postgres.instance_class
  allocated_storage_gib         = var.postgres.allocated_storage_gib
  max_allocated_storage_gib     = var.postgres.max_allocated_storage_gib
  storage_iops                  = var.postgres.storage_iops
  storage_throughput_mibps      = var.postgres.storage_throughput_mibps
  database_name                 = var.postgres.database_name
  multi_az                      = var.postgres.multi_az
  read_replica_count            = var.postgres.read_replica_count
  deletion_protection           = var.postgres.deletion_protection
  backup_retention_days         = var.postgres.backup_retention_days
  backup_window                 = var.postgres.backup_window
  maintenance_window            = var.postgres.maintenance_window
  blue_green_update             = var.postgres.blue_green_update
  replication_slots             = var.postgres.replication_slots
  slot_wal_keep_mib             = var.postgres.slot_wal_keep_mib
  master_password_rotation_days = var.postgres.master_password_rotation_days
  snapshot_identifier           = var.postgres.snapshot_identifier
  parameters                    = var.postgres.parameters
}

module "cache" {
  source   = "./modules/elasticache-redis"
  for_each = local.caches

  name               = "${local.prefix}-cache"
  subnet_ids         = local.private_subnet_ids
  security_group_ids = [aws_security_group.cache.id]
  kms_key_arn        = aws_kms_key.this.arn
  tags               = local.tags

  engine                         = each.value.engine
  engine_version                 = each.value.engine_version
  serverless                     = each.value.serverless
  serverless_storage_gb_max      = each.value.serverless_storage_gb_max
  serverless_ecpu_per_second_max = each.value.serverless_ecpu_per_second_max
  node_type                      = each.value.node_type
  cluster_mode                   = each.value.cluster_mode
  shard_count                    = each.value.shard_count
  replicas_per_shard             = each.value.replicas_per_shard
  migration_phase                = each.value.migration_phase
  app_user                       = each.value.app_user
  maxmemory_policy               = each.value.maxmemory_policy
  snapshot_retention_days        = each.value.snapshot_retention_days
  snapshot_arns                  = each.value.snapshot_arns
  apply_immediately              = each.value.apply_immediately
}
