# Applies against a mocked provider: what the module passes on, and that every validation refuses
# what it is for. What only the real provider knows is in plan.tftest.hcl.

mock_provider "aws" {
  mock_resource "aws_elasticache_replication_group" {
    defaults = {
      arn                            = "arn:aws:elasticache:eu-west-1:111122223333:replicationgroup:sessions"
      primary_endpoint_address       = "master.sessions.abc.euw1.cache.amazonaws.com"
      reader_endpoint_address        = "replica.sessions.abc.euw1.cache.amazonaws.com"
      configuration_endpoint_address = "clustercfg.sessions.abc.euw1.cache.amazonaws.com"
    }
  }
  mock_resource "aws_elasticache_serverless_cache" {
    defaults = {
      arn      = "arn:aws:elasticache:eu-west-1:111122223333:serverlesscache:sessions"
      endpoint = [{ address = "sessions-abc.serverless.euw1.cache.amazonaws.com", port = 6379 }]
    }
  }
  mock_resource "aws_elasticache_user" {
    defaults = { arn = "arn:aws:elasticache:eu-west-1:111122223333:user:app" }
  }
}

variables {
  name               = "sessions"
  subnet_ids         = ["subnet-a", "subnet-b"]
  security_group_ids = ["sg-cache"]
  kms_key_arn        = "arn:aws:kms:eu-west-1:111122223333:key/abc"
}

run "steady" {
  assert {
    condition     = output.address == "master.sessions.abc.euw1.cache.amazonaws.com" && output.reader_address == "replica.sessions.abc.euw1.cache.amazonaws.com" && !output.speaks_cluster
    error_message = "without cluster mode clients use the primary endpoint"
  }
  assert {
    condition     = output.tls_mode == "verify-full" && output.app_user == "app" && output.app_user_arn != null && !output.uses_auth_token
    error_message = "TLS and the IAM user are on"
  }
  assert {
    condition     = output.member_ids == tolist(["sessions-001", "sessions-002"])
    error_message = "nodes are numbered as ElastiCache does"
  }
  assert {
    condition     = aws_elasticache_parameter_group.this[0].family == "valkey8" && length(aws_elasticache_replication_group.this[0].log_delivery_configuration) == 2
    error_message = "family and logs"
  }
}

run "online_migration" {
  variables {
    migration_phase = "online_migration"
    engine          = "redis"
    engine_version  = "7.1"
  }
  assert {
    condition     = !aws_elasticache_replication_group.this[0].transit_encryption_enabled && length(aws_elasticache_user_group.this) == 0 && output.tls_mode == "disable" && output.app_user == null
    error_message = "ElastiCache's own migration demands neither TLS nor login"
  }
  assert {
    condition     = aws_elasticache_parameter_group.this[0].family == "redis7"
    error_message = "the family follows the engine"
  }
}

run "tls_preferred" {
  variables {
    migration_phase   = "tls_preferred"
    apply_immediately = true
  }
  assert {
    condition     = aws_elasticache_replication_group.this[0].transit_encryption_mode == "preferred" && length(aws_elasticache_user_group.this) == 0
    error_message = "TLS beside plain text, users not yet"
  }
}

run "steady_again" {
  variables {
    apply_immediately = true
  }
  assert {
    condition     = aws_elasticache_replication_group.this[0].transit_encryption_mode == "required" && length(aws_elasticache_replication_group.this[0].user_group_ids) == 1
    error_message = "TLS only, and the users"
  }
}

run "auth_token" {
  variables {
    app_user   = null
    auth_token = "0123456789abcdef"
  }
  assert {
    condition     = output.uses_auth_token && output.app_user == null && length(aws_elasticache_user_group.this) == 0
    error_message = "the token excludes users"
  }
}

run "cluster_mode" {
  variables {
    name         = "sharded"
    cluster_mode = true
    shard_count  = 2
  }
  assert {
    condition     = output.address == "clustercfg.sessions.abc.euw1.cache.amazonaws.com" && output.speaks_cluster && output.reader_address == null
    error_message = "in cluster mode clients use the configuration endpoint"
  }
  assert {
    condition     = output.member_ids == tolist(["sharded-0001-001", "sharded-0001-002", "sharded-0002-001", "sharded-0002-002"])
    error_message = "nodes are numbered by shard"
  }
}

run "serverless" {
  variables {
    serverless = true
  }
  assert {
    condition     = output.address == "sessions-abc.serverless.euw1.cache.amazonaws.com" && output.speaks_cluster && output.port == 6379 && length(output.member_ids) == 0
    error_message = "a serverless cache speaks cluster on 6379 and has no nodes"
  }
  assert {
    condition     = aws_elasticache_serverless_cache.this[0].major_engine_version == "8" && aws_elasticache_serverless_cache.this[0].daily_snapshot_time == "03:00"
    error_message = "major version and time of the snapshot"
  }
}

run "refuses_plain_values" {
  command = plan
  variables {
    name                           = "Sessions"
    description                    = " "
    engine                         = "memcached"
    serverless_storage_gb_max      = 0
    serverless_ecpu_per_second_max = 1
    node_type                      = "m7g.large"
    shard_count                    = 0
    replicas_per_shard             = 0
    subnet_ids                     = ["subnet-a"]
    security_group_ids             = []
    kms_key_arn                    = "alias/sessions"
    app_access_string              = "~* +@all"
    parameters                     = [{ name = "cluster-enabled", value = "yes" }]
    maxmemory_policy               = "lru"
    reserved_memory_percent        = 5
    maintenance_window             = "sunday"
    snapshot_window                = "3am"
    snapshot_retention_days        = 0
    snapshot_arns                  = ["s3://bucket/dump.rdb"]
    log_retention_days             = 8
    tags                           = { "AWS:owner" = "x" }
  }
  expect_failures = [
    var.name, var.description, var.engine, var.serverless_storage_gb_max,
    var.serverless_ecpu_per_second_max, var.node_type, var.shard_count, var.replicas_per_shard,
    var.subnet_ids, var.security_group_ids, var.kms_key_arn, var.app_access_string,
    var.parameters, var.maxmemory_policy, var.reserved_memory_percent, var.maintenance_window,
    var.snapshot_window, var.snapshot_retention_days, var.snapshot_arns, var.log_retention_days,
    var.tags,
  ]
}

run "refuses_values_that_depend_on_others" {
  command = plan
  variables {
    engine_version = "5.0"
    port           = 80
    app_user       = "default"
  }
  expect_failures = [var.engine_version, var.port, var.app_user]
}

run "refuses_an_unknown_phase" {
  command = plan
  variables {
    migration_phase = "later"
  }
  expect_failures = [var.migration_phase]
}

run "refuses_contradictions" {
  command = plan
  variables {
    serverless      = true
    migration_phase = "tls_preferred"
    shard_count     = 2
  }
  expect_failures = [var.serverless, var.apply_immediately, var.cluster_mode]
}

run "refuses_a_token_beside_users" {
  command = plan
  variables {
    auth_token = "0123456789abcdef"
  }
  expect_failures = [var.app_user]
}

run "refuses_a_weak_token" {
  command = plan
  variables {
    app_user   = null
    auth_token = "short"
  }
  expect_failures = [var.auth_token]
}

run "refuses_a_token_for_a_serverless_cache" {
  command = plan
  variables {
    serverless = true
    app_user   = null
    auth_token = "0123456789abcdef"
  }
  expect_failures = [var.auth_token]
}
