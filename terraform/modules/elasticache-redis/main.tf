# An ElastiCache cache, of nodes or serverless, that a self-hosted Redis can be moved onto:
# encrypted, private, with failover, its login switched on when the migration has no more need of
# plain connections.

locals {
  major = split(".", var.engine_version)[0]
  # Redis names its families redis7, Valkey valkey7 and valkey8.
  family = "${var.engine}${local.major}"

  nodes      = var.serverless ? 0 : 1
  tls        = var.migration_phase != "online_migration"
  uses_users = var.app_user != null && var.migration_phase == "steady"

  # Nodes are named after the group, before they exist: alarms are made in the same apply.
  member_ids = var.serverless ? [] : flatten([
    for shard in range(1, var.shard_count + 1) : [
      for node in range(1, var.replicas_per_shard + 2) :
      var.cluster_mode ? format("%s-%04d-%03d", var.name, shard, node) : format("%s-%03d", var.name, node)
    ]
  ])

  parameters = concat(
    [
      { name = "maxmemory-policy", value = var.maxmemory_policy },
      { name = "reserved-memory-percent", value = tostring(var.reserved_memory_percent) },
      { name = "cluster-enabled", value = var.cluster_mode ? "yes" : "no" },
    ],
    var.parameters,
  )
}

resource "aws_elasticache_subnet_group" "this" {
  count = local.nodes

  name        = var.name
  description = "Private subnets of ${var.name}."
  subnet_ids  = var.subnet_ids
  tags        = var.tags
}

resource "aws_elasticache_parameter_group" "this" {
  count = local.nodes

  name        = "${var.name}-${local.family}"
  family      = local.family
  description = "Parameters of ${var.name}."
  tags        = var.tags

  dynamic "parameter" {
    for_each = local.parameters
    content {
      name  = parameter.value.name
      value = parameter.value.value
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = var.serverless ? toset([]) : toset(["slow-log", "engine-log"])

  name              = "/aws/elasticache/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_elasticache_replication_group" "this" {
  count = local.nodes

  replication_group_id = var.name
  description          = var.description
  engine               = var.engine
  engine_version       = var.engine_version
  node_type            = var.node_type
  port                 = var.port

  num_node_groups            = var.cluster_mode ? var.shard_count : null
  replicas_per_node_group    = var.cluster_mode ? var.replicas_per_shard : null
  num_cache_clusters         = var.cluster_mode ? null : var.replicas_per_shard + 1
  automatic_failover_enabled = true
  multi_az_enabled           = true

  subnet_group_name    = aws_elasticache_subnet_group.this[0].name
  security_group_ids   = var.security_group_ids
  parameter_group_name = aws_elasticache_parameter_group.this[0].name

  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  transit_encryption_enabled = local.tls
  transit_encryption_mode    = local.tls ? (var.migration_phase == "steady" ? "required" : "preferred") : null

  user_group_ids             = local.uses_users ? [aws_elasticache_user_group.this[0].user_group_id] : null
  auth_token                 = var.migration_phase == "steady" ? var.auth_token : null
  auth_token_update_strategy = var.migration_phase == "steady" && var.auth_token != null ? "ROTATE" : null

  snapshot_arns             = length(var.snapshot_arns) == 0 ? null : var.snapshot_arns
  snapshot_retention_limit  = var.snapshot_retention_days
  snapshot_window           = var.snapshot_window
  final_snapshot_identifier = "${var.name}-final"

  maintenance_window         = var.maintenance_window
  auto_minor_version_upgrade = true
  apply_immediately          = var.apply_immediately

  dynamic "log_delivery_configuration" {
    for_each = aws_cloudwatch_log_group.this
    content {
      destination      = log_delivery_configuration.value.name
      destination_type = "cloudwatch-logs"
      log_format       = "json"
      log_type         = log_delivery_configuration.key
    }
  }

  tags = var.tags

  lifecycle {
    # Only of use when the group is made.
    ignore_changes = [snapshot_arns]
  }
}

resource "aws_elasticache_serverless_cache" "this" {
  count = var.serverless ? 1 : 0

  name                 = var.name
  description          = var.description
  engine               = var.engine
  major_engine_version = local.major
  kms_key_id           = var.kms_key_arn
  subnet_ids           = var.subnet_ids
  security_group_ids   = var.security_group_ids
  user_group_id        = local.uses_users ? aws_elasticache_user_group.this[0].user_group_id : null

  snapshot_arns_to_restore = length(var.snapshot_arns) == 0 ? null : var.snapshot_arns
  snapshot_retention_limit = var.snapshot_retention_days
  daily_snapshot_time      = split("-", var.snapshot_window)[0]

  cache_usage_limits {
    data_storage {
      maximum = var.serverless_storage_gb_max
      unit    = "GB"
    }
    ecpu_per_second {
      maximum = var.serverless_ecpu_per_second_max
    }
  }

  tags = var.tags

  lifecycle {
    ignore_changes = [snapshot_arns_to_restore]
  }
}

# Users and groups of engine "redis" may be attached to Valkey as well. Those of engine "valkey"
# take no user without a password, and a password for the disabled one would only be a secret more.
resource "aws_elasticache_user" "default" {
  count = local.uses_users ? 1 : 0

  user_id       = "${var.name}-default"
  user_name     = "default"
  engine        = "redis"
  access_string = "off ~* -@all"
  tags          = var.tags

  authentication_mode {
    type = "no-password-required"
  }
}

resource "aws_elasticache_user" "app" {
  count = local.uses_users ? 1 : 0

  user_id       = var.app_user
  user_name     = var.app_user
  engine        = "redis"
  access_string = var.app_access_string
  tags          = var.tags

  authentication_mode {
    type = "iam"
  }
}

resource "aws_elasticache_user_group" "this" {
  count = local.uses_users ? 1 : 0

  user_group_id = var.name
  engine        = "redis"
  user_ids      = [aws_elasticache_user.default[0].user_id, aws_elasticache_user.app[0].user_id]
  tags          = var.tags
}
