# Into a VPC that is there already, with its own endpoints and its own alarm topic; no cache.

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
  environment = "staging"

  create_vpc         = false
  vpc_id             = "vpc-0123456789abcdef0"
  private_subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  create_endpoints   = false
  source_cidrs       = ["192.168.10.0/24"]

  postgres = {
    instance_class      = "db.t4g.medium"
    multi_az            = false
    deletion_protection = false
    slot_wal_keep_mib   = 20480
  }
  cache = null

  alarm_topic_arns = ["arn:aws:sns:eu-west-1:111122223333:oncall"]
}

output "sidecar_config" {
  description = "Save as target.yml beside Pontoon's configuration."
  value       = module.managed.sidecar_config
}

output "secret_arns" {
  description = "Secrets to fill."
  value       = module.managed.secret_arns
}
