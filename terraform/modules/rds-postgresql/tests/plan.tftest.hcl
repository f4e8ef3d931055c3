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
  name               = "orders"
  subnet_ids         = ["subnet-0a", "subnet-0b"]
  security_group_ids = ["sg-0d"]
  kms_key_arn        = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
}

run "plan" {
  command = plan
  variables {
    database_name      = "orders"
    read_replica_count = 1
  }
  assert {
    condition     = aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible && aws_db_instance.this.multi_az && aws_db_instance.this.deletion_protection
    error_message = "encrypted, private, Multi-AZ, protected"
  }
  assert {
    condition     = !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.backup_retention_period >= 7 && !aws_db_instance.this.delete_automated_backups
    error_message = "backups are kept, also beyond the instance"
  }
  assert {
    condition     = aws_db_instance.this.iam_database_authentication_enabled && aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "IAM logins, and no password in the state"
  }
  assert {
    condition     = toset(aws_db_instance.this.enabled_cloudwatch_logs_exports) == toset(["postgresql", "upgrade"]) && aws_db_instance.this.monitoring_interval == 60 && aws_db_instance.this.performance_insights_enabled
    error_message = "logs, monitoring and insights are on"
  }
  assert {
    condition     = contains([for one in aws_db_parameter_group.this.parameter : "${one.name}=${one.value} ${one.apply_method}"], "rds.logical_replication=1 pending-reboot") && contains([for one in aws_db_parameter_group.this.parameter : "${one.name}=${one.value} ${one.apply_method}"], "rds.force_ssl=1 immediate")
    error_message = "logical replication and forced TLS"
  }
  assert {
    condition     = aws_db_instance.replica[0].storage_encrypted && !aws_db_instance.replica[0].publicly_accessible
    error_message = "replicas are as private"
  }
}
