# A new VPC, PostgreSQL and a Valkey cache; replication with a self-hosted network.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }

  # State holds names and ARNs, no secret; still keep it where only you and your team can read it:
  # backend "s3" { bucket = "…", key = "pontoon", region = "eu-west-1", use_lockfile = true }
}

provider "aws" {
  region = "eu-west-1"
}

module "managed" {
  source = "../.."

  name        = "shop"
  environment = "prod"

  availability_zones = ["eu-west-1a", "eu-west-1b"]
  source_cidrs       = ["10.0.0.0/16"]

  postgres = {
    instance_class            = "db.m7g.xlarge"
    allocated_storage_gib     = 400
    max_allocated_storage_gib = 2000
    read_replica_count        = 1
  }

  alarm_emails = ["oncall@example.com"]
}

output "sidecar_config" {
  description = "Save as target.yml beside Pontoon's configuration."
  value       = module.managed.sidecar_config
}

output "secret_arns" {
  description = "Secrets to fill."
  value       = module.managed.secret_arns
}

output "private_route_table_id" {
  description = "Add the route to the self-hosted network here."
  value       = module.managed.private_route_table_id
}
