# Applies of the whole against a mocked provider: what comes out of it, and that every validation
# of the root refuses what it is for.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { id = "eu-west-1", name = "eu-west-1" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/abc" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/monitoring" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:111122223333:shop-prod-alarms" }
  }
  mock_resource "aws_db_instance" {
    defaults = {
      arn                = "arn:aws:rds:eu-west-1:111122223333:db:shop-prod-postgres"
      address            = "shop-prod-postgres.abc.eu-west-1.rds.amazonaws.com"
      resource_id        = "db-ABC"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds-abc", kms_key_id = "key", secret_status = "active" }]
    }
  }
  mock_resource "aws_elasticache_replication_group" {
    defaults = {
      arn                      = "arn:aws:elasticache:eu-west-1:111122223333:replicationgroup:shop-prod-cache"
      primary_endpoint_address = "master.shop-prod-cache.abc.euw1.cache.amazonaws.com"
    }
  }
  mock_resource "aws_elasticache_user" {
    defaults = { arn = "arn:aws:elasticache:eu-west-1:111122223333:user:app" }
  }
}

variables {
  name               = "shop"
  environment        = "prod"
  availability_zones = ["eu-west-1a", "eu-west-1b"]
}

run "both_services" {
  variables {
    source_cidrs = ["10.0.0.0/16"]
  }
  assert {
    condition     = output.postgres_address == "shop-prod-postgres.abc.eu-west-1.rds.amazonaws.com" && output.cache_address == "master.shop-prod-cache.abc.euw1.cache.amazonaws.com" && output.rds_resource_id == "db-ABC"
    error_message = "endpoints and resource id come out"
  }
  assert {
    condition     = toset(keys(output.secret_arns)) == toset(["source-postgres", "source-redis", "replication", "admin-token"])
    error_message = "every secret has a place"
  }
  assert {
    condition     = yamldecode(output.sidecar_config).services.orders.target == { host = "shop-prod-postgres.abc.eu-west-1.rds.amazonaws.com", port = 5432, user = "app", auth = { mode = "rds-iam", region = "eu-west-1" }, tls = { mode = "verify-full", ca = "aws-rds" } }
    error_message = "the target block of PostgreSQL"
  }
  assert {
    condition     = yamldecode(output.sidecar_config).services.cache.target.tls.mode == "verify-full"
    error_message = "the target block of the cache"
  }
  assert {
    condition     = output.alarm_topic_arns == tolist(["arn:aws:sns:eu-west-1:111122223333:shop-prod-alarms"])
    error_message = "alarms have somewhere to go"
  }
}

run "no_cache_in_an_existing_vpc" {
  variables {
    environment        = "staging"
    create_vpc         = false
    vpc_id             = "vpc-0a"
    private_subnet_ids = ["subnet-0a", "subnet-0b"]
    create_endpoints   = false
    cache              = null
    alarm_topic_arns   = ["arn:aws:sns:eu-west-1:111122223333:oncall"]
  }
  assert {
    condition     = output.cache_address == null && output.vpc_id == "vpc-0a" && output.private_route_table_id == null && output.alarm_topic_arns == tolist(["arn:aws:sns:eu-west-1:111122223333:oncall"])
    error_message = "what exists is used"
  }
  assert {
    condition     = keys(yamldecode(output.sidecar_config).services) == ["orders"]
    error_message = "no cache, no block for it"
  }
}

run "refuses_plain_values" {
  command = plan
  variables {
    name                 = "Shop"
    environment          = "production"
    tags                 = { "aws:x" = "y" }
    vpc_cidr             = "10.0.0.0/8"
    availability_zones   = ["eu-west-1a"]
    source_cidrs         = ["0.0.0.0/0"]
    source_postgres_port = 0
    source_redis_port    = 70000
    postgres_app_user    = "App"
    postgres_service     = "Orders"
    alarm_emails         = ["oncall"]
    alarm_thresholds     = { cpu_percent = 0 }
  }
  expect_failures = [
    var.name, var.environment, var.tags, var.vpc_cidr, var.availability_zones, var.source_cidrs,
    var.source_postgres_port, var.source_redis_port, var.postgres_app_user, var.postgres_service,
    var.alarm_emails, var.alarm_thresholds,
  ]
}

run "refuses_a_vpc_named_twice" {
  command = plan
  variables {
    vpc_id           = "vpc-0a"
    alarm_thresholds = { cpu_percent = 120 }
    alarm_topic_arns = ["arn:aws:sns:eu-west-1:111122223333:oncall"]
    alarm_emails     = ["oncall@example.com"]
    cache_service    = "orders"
    postgres         = { backup_retention_days = 7 }
    cache            = { migration_phase = "online_migration" }
  }
  expect_failures = [
    var.create_vpc, var.alarm_thresholds, var.alarm_emails, var.cache_service, var.postgres,
    var.cache,
  ]
}

run "refuses_an_unprotected_prod" {
  command = plan
  variables {
    create_vpc       = false
    vpc_id           = "vpc_1"
    alarm_topic_arns = ["oncall"]
    postgres         = { deletion_protection = false }
  }
  expect_failures = [var.vpc_id, var.alarm_topic_arns, var.postgres]
}

run "refuses_a_network_that_cannot_work" {
  command = plan
  variables {
    create_endpoints = false
  }
  expect_failures = [var.create_endpoints]
}

run "refuses_an_existing_vpc_without_subnets" {
  command = plan
  variables {
    create_vpc = false
    vpc_id     = "vpc-0a"
  }
  expect_failures = [var.private_subnet_ids]
}
