output "id" {
  description = "Identifier of the replication group or serverless cache."
  value       = var.name
}

output "arn" {
  description = "ARN of the replication group or serverless cache."
  value       = var.serverless ? one(aws_elasticache_serverless_cache.this[*].arn) : one(aws_elasticache_replication_group.this[*].arn)
}

output "address" {
  description = "Host name to connect to: configuration endpoint in cluster mode, primary endpoint otherwise."
  value = (
    var.serverless ? try(aws_elasticache_serverless_cache.this[0].endpoint[0].address, null)
    : var.cluster_mode ? one(aws_elasticache_replication_group.this[*].configuration_endpoint_address)
    : one(aws_elasticache_replication_group.this[*].primary_endpoint_address)
  )
}

output "reader_address" {
  description = "Host name of the replicas; null in cluster mode."
  value       = var.serverless || var.cluster_mode ? null : one(aws_elasticache_replication_group.this[*].reader_endpoint_address)
}

output "port" {
  description = "Port to connect to."
  value       = var.port
}

output "speaks_cluster" {
  description = "Whether clients meet a Redis cluster."
  value       = var.serverless || var.cluster_mode
}

output "tls_mode" {
  description = "TLS as Pontoon's configuration names it."
  value       = local.tls ? "verify-full" : "disable"
}

output "app_user" {
  description = "ACL user that logs in by IAM, null while there is none."
  value       = local.uses_users ? var.app_user : null
}

output "app_user_arn" {
  description = "ARN of that user, for elasticache:Connect."
  value       = one(aws_elasticache_user.app[*].arn)
}

output "uses_auth_token" {
  description = "Whether everybody logs in with the auth token."
  value       = nonsensitive(var.auth_token != null) && var.migration_phase == "steady"
}

output "member_ids" {
  description = "Node identifiers, as CloudWatch names them."
  value       = local.member_ids
}

output "log_group_names" {
  description = "CloudWatch log groups of the cache."
  value       = { for name, group in aws_cloudwatch_log_group.this : name => group.name }
}
