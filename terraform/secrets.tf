# The key, the secrets that Pontoon reads, and the policy of whoever runs it. Terraform makes the
# secrets empty: a value set here would stand in its state. docs/deployment.md says who fills them.

locals {
  account_id = split(":", module.postgres.arn)[4]

  secrets = {
    source-postgres = "Password of the application's role on the self-hosted PostgreSQL (JSON: username, password)."
    source-redis    = "Password of the self-hosted Redis, if it has one (JSON: username, password)."
    replication     = "Password of the role that owns the subscriptions (JSON: username, password). A role of its own, to be rotated: it is stored in pg_subscription."
    admin-token     = "Bearer token of Pontoon's admin API."
  }
}

resource "aws_kms_key" "this" {
  description             = "Data and secrets of ${local.prefix}."
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = local.tags
}

resource "aws_kms_alias" "this" {
  name          = "alias/${local.prefix}"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name_prefix             = "${local.prefix}/${each.key}-"
  description             = each.value
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 30
  tags                    = local.tags
}

data "aws_iam_policy_document" "sidecar" {
  statement {
    sid       = "LoginToPostgres"
    actions   = ["rds-db:connect"]
    resources = ["arn:${data.aws_partition.current.partition}:rds-db:${data.aws_region.current.id}:${local.account_id}:dbuser:${module.postgres.resource_id}/${var.postgres_app_user}"]
  }

  # IAM of ElastiCache checks the cache and the user.
  dynamic "statement" {
    for_each = { for name, cache in module.cache : name => cache if cache.app_user_arn != null }
    content {
      sid       = "LoginToCache"
      actions   = ["elasticache:Connect"]
      resources = [statement.value.arn, statement.value.app_user_arn]
    }
  }

  statement {
    sid       = "ReadSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for secret in aws_secretsmanager_secret.this : secret.arn]
  }

  statement {
    sid       = "DecryptSecrets"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.this.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${data.aws_region.current.id}.amazonaws.com"]
    }
  }
}

resource "aws_iam_policy" "sidecar" {
  name_prefix = "${local.prefix}-sidecar-"
  description = "What Pontoon and the migrator may do: log in to both managed services and read their secrets."
  policy      = data.aws_iam_policy_document.sidecar.json
  tags        = local.tags
}
