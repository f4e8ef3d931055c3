output "postgres_address" {
  description = "Host name of the managed PostgreSQL."
  value       = module.postgres.address
}

output "postgres_port" {
  description = "Its port."
  value       = module.postgres.port
}

output "postgres_master_secret_arn" {
  description = "Secret with the master password, kept by RDS."
  value       = module.postgres.master_secret_arn
}

output "rds_resource_id" {
  description = "Id (db-…) that rds-db:connect policies name."
  value       = module.postgres.resource_id
}

output "cache_address" {
  description = "Host name of the managed cache, null without one."
  value       = one([for cache in module.cache : cache.address])
}

output "cache_port" {
  description = "Its port."
  value       = one([for cache in module.cache : cache.port])
}

output "secret_arns" {
  description = "Secrets to fill, by purpose."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "security_group_ids" {
  description = "Security groups; applications with a sidecar join `sidecar`."
  value = {
    sidecar  = aws_security_group.sidecar.id
    database = aws_security_group.database.id
    cache    = aws_security_group.cache.id
  }
}

output "vpc_id" {
  description = "The VPC."
  value       = local.vpc_id
}

output "private_subnet_ids" {
  description = "The private subnets."
  value       = local.private_subnet_ids
}

output "private_route_table_id" {
  description = "Route table to add the way to the self-hosted network to; null with an existing VPC."
  value       = one(aws_route_table.private[*].id)
}

output "kms_key_arn" {
  description = "Key of data and secrets."
  value       = aws_kms_key.this.arn
}

output "sidecar_policy_arn" {
  description = "Policy for the role that Pontoon and the migrator run as."
  value       = aws_iam_policy.sidecar.arn
}

output "sidecar_policy_json" {
  description = "The same policy as JSON, for a role that is managed elsewhere."
  value       = data.aws_iam_policy_document.sidecar.json
}

output "alarm_topic_arns" {
  description = "Topics that alarms go to."
  value       = local.topic_arns
}

output "dashboard_name" {
  description = "CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

locals {
  sidecar_postgres = {
    (var.postgres_service) = {
      target = {
        host = module.postgres.address
        port = module.postgres.port
        user = var.postgres_app_user
        auth = { mode = "rds-iam", region = data.aws_region.current.id }
        tls  = { mode = "verify-full", ca = "aws-rds" }
      }
    }
  }

  # Of the cache only what holds for it goes in: null values would be mistakes in the file.
  sidecar_cache = {
    for name, cache in module.cache : var.cache_service => {
      target = {
        for key, value in {
          host    = cache.address
          port    = cache.port
          cluster = cache.speaks_cluster
          tls     = { mode = cache.tls_mode }
          user    = cache.app_user
          auth = cache.app_user == null ? null : {
            mode       = "elasticache-iam"
            region     = data.aws_region.current.id
            cache      = cache.id
            serverless = var.cache.serverless
          }
        } : key => value if value != null
      }
    }
  }
}

output "sidecar_config" {
  description = "The target blocks of Pontoon's configuration, as a file to lay over the first: pontoon serve --config database.yml --config target.yml."
  value       = yamlencode({ services = merge(local.sidecar_postgres, local.sidecar_cache) })
}
