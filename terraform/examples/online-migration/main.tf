# A cache that ElastiCache fills itself from the self-hosted Redis. Three applies:
#
#   phase=online_migration   then: aws elasticache start-migration … complete-migration
#   phase=tls_preferred      then: move the clients to TLS
#   phase=steady             TLS only, and the IAM user

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

variable "phase" {
  description = "Where the migration of the cache is."
  type        = string
  default     = "online_migration"

  validation {
    condition     = contains(["online_migration", "tls_preferred", "steady"], var.phase)
    error_message = "phase: online_migration, tls_preferred or steady, one after the other."
  }
}

module "managed" {
  source = "../.."

  name        = "shop"
  environment = "prod"

  vpc_cidr           = "10.61.0.0/20"
  availability_zones = ["eu-west-1a", "eu-west-1b"]
  source_cidrs       = ["10.0.0.0/16"]

  cache = {
    engine            = "redis"
    engine_version    = "7.1"
    migration_phase   = var.phase
    maxmemory_policy  = "allkeys-lru"
    apply_immediately = true
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
