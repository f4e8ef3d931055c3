# What wakes somebody up on the managed side. Pontoon's own alerts are in deploy/prometheus; the two
# meet in docs/runbooks.md.

locals {
  topic_arns = length(var.alarm_topic_arns) > 0 ? var.alarm_topic_arns : aws_sns_topic.alarms[*].arn
  gib        = 1024 * 1024 * 1024
  limit      = var.alarm_thresholds

  instance = { DBInstanceIdentifier = "${local.prefix}-postgres" }

  postgres_alarms = {
    postgres-cpu = {
      metric = "CPUUtilization", above = true, threshold = local.limit.cpu_percent, minutes = 15
      what   = "CPU of PostgreSQL is above ${local.limit.cpu_percent}%."
    }
    postgres-storage = {
      metric    = "FreeStorageSpace", above = false, minutes = 5
      threshold = var.postgres.allocated_storage_gib * local.gib * local.limit.free_storage_percent / 100
      what      = "Less than ${local.limit.free_storage_percent}% of the initial storage is free; it grows by itself up to max_allocated_storage_gib, at most every 6 hours."
    }
    postgres-memory = {
      metric = "FreeableMemory", above = false, threshold = local.limit.freeable_memory_mib * 1024 * 1024, minutes = 15
      what   = "PostgreSQL has less than ${local.limit.freeable_memory_mib} MiB of memory to spare."
    }
    postgres-connections = {
      metric = "DatabaseConnections", above = true, threshold = local.limit.database_connections, minutes = 5
      what   = "More than ${local.limit.database_connections} connections; compare pool.size times sidecars with max_connections."
    }
    postgres-wal-disk = {
      metric = "TransactionLogsDiskUsage", above = true, threshold = local.limit.wal_disk_gib * local.gib, minutes = 5
      what   = "WAL takes more than ${local.limit.wal_disk_gib} GiB; look for a replication slot that nobody reads."
    }
    postgres-slot-lag = {
      metric = "OldestReplicationSlotLag", above = true, threshold = local.limit.oldest_slot_lag_gib * local.gib, minutes = 5
      what   = "A replication slot is more than ${local.limit.oldest_slot_lag_gib} GiB behind; at slot_wal_keep_mib it is given up and the way back with it."
    }
  }

  replica_alarms = {
    for number in range(1, var.postgres.read_replica_count + 1) : "postgres-replica-${number}-lag" => {
      metric     = "ReplicaLag", above = true, threshold = local.limit.replica_lag_seconds, minutes = 5
      what       = "Read replica ${number} is more than ${local.limit.replica_lag_seconds} s behind."
      dimensions = { DBInstanceIdentifier = "${local.prefix}-postgres-replica-${number}" }
    }
  }

  node_metrics = {
    cpu = {
      metric = "EngineCPUUtilization", threshold = local.limit.cache_engine_cpu_percent, minutes = 10
      what   = "The engine's thread is busy above ${local.limit.cache_engine_cpu_percent}%."
    }
    memory = {
      metric = "DatabaseMemoryUsagePercentage", threshold = local.limit.cache_memory_percent, minutes = 10
      what   = "Memory is used above ${local.limit.cache_memory_percent}%."
    }
    evictions = {
      metric = "Evictions", threshold = local.limit.cache_evictions_per_minute, minutes = 5
      what   = "Keys are evicted; the cache is too small, or its policy differs from the self-hosted one."
    }
    connections = {
      metric = "CurrConnections", threshold = local.limit.cache_connections, minutes = 5
      what   = "More than ${local.limit.cache_connections} connections."
    }
    replication-lag = {
      metric = "ReplicationLag", threshold = local.limit.cache_replica_lag_seconds, minutes = 5
      what   = "A replica is more than ${local.limit.cache_replica_lag_seconds} s behind its primary."
    }
  }

  cache_members = flatten([for cache in module.cache : cache.member_ids])
  cache_alarms = merge([
    for member in local.cache_members : {
      for name, alarm in local.node_metrics : "${trimprefix(member, "${local.prefix}-")}-${name}" => merge(alarm, {
        above = true, dimensions = { CacheClusterId = member }
      })
    }
  ]...)

  serverless_alarms = merge([
    for name, cache in local.caches : {
      cache-throttled = {
        metric     = "ThrottledCmds", above = true, threshold = local.limit.serverless_throttles_per_min, minutes = 5
        what       = "Commands are throttled; raise serverless_ecpu_per_second_max."
        dimensions = { clusterId = "${local.prefix}-cache" }
      }
      cache-evictions = {
        metric     = "Evictions", above = true, threshold = local.limit.cache_evictions_per_minute, minutes = 5
        what       = "Keys are evicted; raise serverless_storage_gb_max."
        dimensions = { clusterId = "${local.prefix}-cache" }
      }
    } if cache.serverless
  ]...)

  alarms = merge(
    { for name, alarm in local.postgres_alarms : name => merge(alarm, { namespace = "AWS/RDS", dimensions = local.instance }) },
    { for name, alarm in local.replica_alarms : name => merge(alarm, { namespace = "AWS/RDS" }) },
    { for name, alarm in local.cache_alarms : name => merge(alarm, { namespace = "AWS/ElastiCache" }) },
    { for name, alarm in local.serverless_alarms : name => merge(alarm, { namespace = "AWS/ElastiCache" }) },
  )
}

# Not encrypted by a key of ours: what it carries are names and figures, and CloudWatch could not
# publish to it without a policy on the key.
resource "aws_sns_topic" "alarms" {
  count = length(var.alarm_topic_arns) == 0 ? 1 : 0

  name = "${local.prefix}-alarms"
  tags = local.tags
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.alarm_emails)

  topic_arn = aws_sns_topic.alarms[0].arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${local.prefix}-${each.key}"
  alarm_description   = each.value.what
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = "Average"
  period              = 60
  evaluation_periods  = each.value.minutes
  datapoints_to_alarm = each.value.minutes
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  # Metrics of replication are absent until there is any.
  treat_missing_data = "notBreaching"
  alarm_actions      = local.topic_arns
  ok_actions         = local.topic_arns
  tags               = local.tags
}
