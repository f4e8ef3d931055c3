# The managed side at a glance; Pontoon's own dashboard is deploy/grafana.

locals {
  # Title, namespace, metrics, dimension and the resources that have it.
  postgres_ids = concat([local.instance.DBInstanceIdentifier], [for n in range(1, var.postgres.read_replica_count + 1) : "${local.prefix}-postgres-replica-${n}"])

  panels = concat(
    [
      { title = "PostgreSQL: CPU (%)", namespace = "AWS/RDS", metric = "CPUUtilization", dimension = "DBInstanceIdentifier", ids = local.postgres_ids },
      { title = "PostgreSQL: connections", namespace = "AWS/RDS", metric = "DatabaseConnections", dimension = "DBInstanceIdentifier", ids = local.postgres_ids },
      { title = "PostgreSQL: free storage (bytes)", namespace = "AWS/RDS", metric = "FreeStorageSpace", dimension = "DBInstanceIdentifier", ids = local.postgres_ids },
      { title = "PostgreSQL: freeable memory (bytes)", namespace = "AWS/RDS", metric = "FreeableMemory", dimension = "DBInstanceIdentifier", ids = local.postgres_ids },
      { title = "PostgreSQL: oldest slot behind (bytes)", namespace = "AWS/RDS", metric = "OldestReplicationSlotLag", dimension = "DBInstanceIdentifier", ids = local.postgres_ids },
      { title = "PostgreSQL: WAL on disk (bytes)", namespace = "AWS/RDS", metric = "TransactionLogsDiskUsage", dimension = "DBInstanceIdentifier", ids = local.postgres_ids },
      { title = "PostgreSQL: read latency (s)", namespace = "AWS/RDS", metric = "ReadLatency", dimension = "DBInstanceIdentifier", ids = local.postgres_ids },
      { title = "PostgreSQL: write latency (s)", namespace = "AWS/RDS", metric = "WriteLatency", dimension = "DBInstanceIdentifier", ids = local.postgres_ids },
    ],
    length(local.cache_members) == 0 ? [] : [
      { title = "Cache: engine CPU (%)", namespace = "AWS/ElastiCache", metric = "EngineCPUUtilization", dimension = "CacheClusterId", ids = local.cache_members },
      { title = "Cache: memory (%)", namespace = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", dimension = "CacheClusterId", ids = local.cache_members },
      { title = "Cache: connections", namespace = "AWS/ElastiCache", metric = "CurrConnections", dimension = "CacheClusterId", ids = local.cache_members },
      { title = "Cache: evictions", namespace = "AWS/ElastiCache", metric = "Evictions", dimension = "CacheClusterId", ids = local.cache_members },
    ],
    try(var.cache.serverless, false) ? [
      { title = "Cache: ECPUs", namespace = "AWS/ElastiCache", metric = "ElastiCacheProcessingUnits", dimension = "clusterId", ids = ["${local.prefix}-cache"] },
      { title = "Cache: stored (bytes)", namespace = "AWS/ElastiCache", metric = "BytesUsedForCache", dimension = "clusterId", ids = ["${local.prefix}-cache"] },
    ] : [],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = local.prefix
  dashboard_body = jsonencode({
    widgets = [
      for index, panel in local.panels : {
        type   = "metric"
        x      = (index % 2) * 12
        y      = floor(index / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = panel.title
          region  = data.aws_region.current.id
          stat    = "Average"
          period  = 60
          view    = "timeSeries"
          metrics = [for id in panel.ids : [panel.namespace, panel.metric, panel.dimension, id]]
        }
      }
    ]
  })
}
