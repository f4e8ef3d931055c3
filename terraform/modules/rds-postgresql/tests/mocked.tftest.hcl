# Applies against a mocked provider: what the module passes on, and that every validation refuses
# what it is for. What only the real provider knows is in plan.tftest.hcl.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/monitoring" }
  }
  mock_resource "aws_db_instance" {
    defaults = {
      arn                = "arn:aws:rds:eu-west-1:111122223333:db:orders"
      address            = "orders.abc.eu-west-1.rds.amazonaws.com"
      resource_id        = "db-ABC"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds-abc", kms_key_id = "key", secret_status = "active" }]
    }
  }
}

variables {
  name               = "orders"
  subnet_ids         = ["subnet-a", "subnet-b"]
  security_group_ids = ["sg-database"]
  kms_key_arn        = "arn:aws:kms:eu-west-1:111122223333:key/abc"
}

run "defaults" {
  assert {
    condition     = output.address == "orders.abc.eu-west-1.rds.amazonaws.com" && output.port == 5432 && output.resource_id == "db-ABC"
    error_message = "the outputs must be those of the instance"
  }
  assert {
    condition     = output.master_secret_arn == "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds-abc"
    error_message = "the secret must be the one RDS manages"
  }
  assert {
    condition     = output.log_group_names == { postgresql = "/aws/rds/instance/orders/postgresql", upgrade = "/aws/rds/instance/orders/upgrade" }
    error_message = "log groups must have the names that RDS writes to"
  }
  assert {
    condition     = length(output.replica_identifiers) == 0 && length(aws_secretsmanager_secret_rotation.master) == 0 && length(aws_db_option_group.this) == 0
    error_message = "replicas, rotation and option group are opt-in"
  }
  assert {
    condition     = length(aws_db_instance.this.blue_green_update) == 0
    error_message = "blue/green is opt-in"
  }
}

run "everything_opted_in" {
  variables {
    engine_version                      = "16.9"
    auto_minor_version_upgrade          = false
    database_name                       = "orders"
    allocated_storage_gib               = 400
    storage_iops                        = 16000
    storage_throughput_mibps            = 600
    read_replica_count                  = 2
    master_password_rotation_days       = 30
    create_option_group                 = true
    database_insights_mode              = "advanced"
    performance_insights_retention_days = 465
    replication_slots                   = 40
    parameters                          = [{ name = "log_min_duration_statement", value = "500", apply_method = "immediate" }]
  }
  assert {
    condition     = output.replica_identifiers == ["orders-replica-1", "orders-replica-2"]
    error_message = "replicas must be named after the instance"
  }
  assert {
    condition     = aws_db_parameter_group.this.family == "postgres16" && aws_db_option_group.this[0].major_engine_version == "16"
    error_message = "family and option group must follow the major version"
  }
  assert {
    condition = length(setsubtract(
      [for one in [{ name = "max_replication_slots", value = "40" }, { name = "max_wal_senders", value = "45" }, { name = "max_worker_processes", value = "56" }, { name = "log_min_duration_statement", value = "500" }] : "${one.name}=${one.value}"],
      [for one in aws_db_parameter_group.this.parameter : "${one.name}=${one.value}"],
    )) == 0
    error_message = "the limits of replication must follow replication_slots, and own parameters must arrive"
  }
  assert {
    condition     = aws_secretsmanager_secret_rotation.master[0].rotation_rules[0].automatically_after_days == 30
    error_message = "the rotation must be as asked"
  }
}

run "blue_green" {
  variables {
    blue_green_update = true
  }
  assert {
    condition     = aws_db_instance.this.blue_green_update[0].enabled
    error_message = "the switch must arrive"
  }
}

run "refuses_plain_values" {
  command = plan
  variables {
    name                                = "Orders_"
    engine_version                      = "9.6"
    instance_class                      = "m7g.large"
    allocated_storage_gib               = 10
    database_name                       = "1orders"
    master_username                     = "postgres"
    master_password_rotation_days       = 0
    port                                = 80
    subnet_ids                          = ["subnet-a", "subnet-a"]
    security_group_ids                  = []
    kms_key_arn                         = "alias/orders"
    read_replica_count                  = 9
    backup_retention_days               = 1
    backup_window                       = "2am"
    maintenance_window                  = "sunday"
    monitoring_interval_seconds         = 0
    database_insights_mode              = "full"
    performance_insights_retention_days = 8
    log_retention_days                  = 8
    ca_certificate_identifier           = "rds-ca-2019"
    replication_slots                   = 1
    parameters                          = [{ name = "work_mem", value = "1", apply_method = "now" }]
    tags                                = { "aws:owner" = "x" }
  }
  expect_failures = [
    var.name, var.engine_version, var.instance_class, var.allocated_storage_gib,
    var.database_name, var.master_username, var.master_password_rotation_days, var.port,
    var.subnet_ids, var.security_group_ids, var.kms_key_arn, var.read_replica_count,
    var.backup_retention_days, var.backup_window, var.maintenance_window,
    var.monitoring_interval_seconds, var.database_insights_mode,
    var.performance_insights_retention_days, var.log_retention_days,
    var.ca_certificate_identifier, var.replication_slots, var.parameters,
    var.tags,
  ]
}

run "refuses_contradictions" {
  command = plan
  variables {
    engine_version      = "17.5"
    multi_az            = false
    apply_immediately   = true
    blue_green_update   = true
    create_option_group = true
    database_name       = "orders"
    snapshot_identifier = "rds:orders-2026"
    parameters          = [{ name = "rds.force_ssl", value = "0" }]
  }
  expect_failures = [
    var.auto_minor_version_upgrade, var.multi_az, var.apply_immediately, var.create_option_group,
    var.snapshot_identifier, var.parameters,
  ]
}

run "refuses_blue_green_with_replicas" {
  command = plan
  variables {
    blue_green_update  = true
    read_replica_count = 1
  }
  expect_failures = [var.blue_green_update]
}

run "refuses_replicas_without_protection" {
  command = plan
  variables {
    deletion_protection = false
    read_replica_count  = 1
  }
  expect_failures = [var.deletion_protection]
}

run "refuses_storage_that_does_not_fit" {
  command = plan
  variables {
    allocated_storage_gib     = 100
    max_allocated_storage_gib = 105
    storage_iops              = 16000
    storage_throughput_mibps  = 600
    slot_wal_keep_mib         = 100000
  }
  expect_failures = [
    var.max_allocated_storage_gib, var.storage_iops, var.storage_throughput_mibps,
    var.slot_wal_keep_mib,
  ]
}

run "refuses_advanced_insights_without_history" {
  command = plan
  variables {
    database_insights_mode = "advanced"
  }
  expect_failures = [aws_db_instance.this]
}
