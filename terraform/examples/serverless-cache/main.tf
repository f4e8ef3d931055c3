# A serverless cache, and a small database without a standby, for development.

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
  environment = "dev"

  vpc_cidr           = "10.62.0.0/20"
  availability_zones = ["eu-west-1a", "eu-west-1b"]

  postgres = {
    instance_class            = "db.t4g.medium"
    allocated_storage_gib     = 20
    max_allocated_storage_gib = 100
    multi_az                  = false
    deletion_protection       = false
    slot_wal_keep_mib         = 4096
  }

  cache = {
    serverless                     = true
    serverless_storage_gb_max      = 5
    serverless_ecpu_per_second_max = 5000
  }
}

output "sidecar_config" {
  description = "Save as target.yml beside Pontoon's configuration."
  value       = module.managed.sidecar_config
}

output "secret_arns" {
  description = "Secrets to fill."
  value       = module.managed.secret_arns
}
