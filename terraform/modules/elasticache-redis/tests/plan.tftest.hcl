# A plan by the real provider with keys that open nothing: its schemas and its own checks are met,
# and no call leaves the machine.

provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "not-a-key"
  secret_key                  = "not-a-key"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  name               = "sessions"
  subnet_ids         = ["subnet-0a", "subnet-0b"]
  security_group_ids = ["sg-0c"]
  kms_key_arn        = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
}

run "steady" {
  command = plan
  assert {
    condition     = aws_elasticache_replication_group.this[0].at_rest_encryption_enabled && aws_elasticache_replication_group.this[0].transit_encryption_enabled && aws_elasticache_replication_group.this[0].transit_encryption_mode == "required"
    error_message = "encrypted at rest and on the way"
  }
  assert {
    condition     = aws_elasticache_replication_group.this[0].automatic_failover_enabled && aws_elasticache_replication_group.this[0].multi_az_enabled && aws_elasticache_replication_group.this[0].num_cache_clusters == 2
    error_message = "failover has somewhere to go"
  }
  assert {
    condition     = aws_elasticache_replication_group.this[0].snapshot_retention_limit >= 7 && aws_elasticache_user.default[0].access_string == "off ~* -@all"
    error_message = "snapshots are kept, and the default user may do nothing"
  }
}

run "cluster_mode" {
  command = plan
  variables {
    cluster_mode = true
    shard_count  = 3
  }
  assert {
    condition     = aws_elasticache_replication_group.this[0].num_node_groups == 3
    error_message = "three shards"
  }
}

run "online_migration" {
  command = plan
  variables {
    migration_phase = "online_migration"
    engine          = "redis"
    engine_version  = "7.1"
  }
}

run "serverless" {
  command = plan
  variables {
    serverless = true
  }
}
