# Private subnets, and rules from group to group. Nothing here is reachable from the internet, and
# the subnets have no way out but the interface endpoints. Peering, VPN or Direct Connect to the
# self-hosted network is yours: route source_cidrs in the route table that is an output.

locals {
  vpc_id             = var.create_vpc ? aws_vpc.this[0].id : var.vpc_id
  private_subnet_ids = var.create_vpc ? [for zone in var.availability_zones : aws_subnet.private[zone].id] : var.private_subnet_ids
  endpoint_services  = var.create_endpoints ? toset(["secretsmanager", "sts", "logs"]) : toset([])
}

resource "aws_vpc" "this" {
  count = var.create_vpc ? 1 : 0

  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(local.tags, { Name = local.prefix })
}

# The default group lets its members talk to each other; emptied, it lets nothing through.
resource "aws_default_security_group" "closed" {
  count = var.create_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${local.prefix}-unused" })
}

resource "aws_subnet" "private" {
  for_each = var.create_vpc ? toset(var.availability_zones) : toset([])

  vpc_id                  = aws_vpc.this[0].id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.vpc_cidr, 2, index(var.availability_zones, each.key))
  map_public_ip_on_launch = false
  tags                    = merge(local.tags, { Name = "${local.prefix}-private-${each.key}" })
}

resource "aws_route_table" "private" {
  count = var.create_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${local.prefix}-private" })
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[0].id
}

resource "aws_security_group" "sidecar" {
  name_prefix = "${local.prefix}-sidecar-"
  description = "Applications with their Pontoon sidecar, and the migrator."
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${local.prefix}-sidecar" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "database" {
  name_prefix = "${local.prefix}-database-"
  description = "The managed PostgreSQL."
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${local.prefix}-database" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "cache" {
  name_prefix = "${local.prefix}-cache-"
  description = "The managed cache."
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${local.prefix}-cache" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "endpoints" {
  count = var.create_endpoints ? 1 : 0

  name_prefix = "${local.prefix}-endpoints-"
  description = "Interface endpoints of AWS services."
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${local.prefix}-endpoints" })

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  # One port each way: out of the sidecar's group, into the other one.
  group_rules = merge(
    {
      postgres = { group = aws_security_group.database.id, from = 5432, to = 5432, what = "PostgreSQL" }
      # A serverless cache answers reads on the port after its own.
      cache = { group = aws_security_group.cache.id, from = 6379, to = 6380, what = "cache" }
    },
    var.create_endpoints ? { endpoints = { group = aws_security_group.endpoints[0].id, from = 443, to = 443, what = "AWS services" } } : {},
  )

  # While both sides are in use: the self-hosted network reads from the managed side (reverse sync,
  # sidecars that still run there), and the managed side dials out to it (forward sync).
  source_rules = merge([
    for cidr in var.source_cidrs : {
      "postgres ${cidr}" = { group = aws_security_group.database.id, cidr = cidr, in = 5432, out = var.source_postgres_port }
      "cache ${cidr}"    = { group = aws_security_group.cache.id, cidr = cidr, in = 6379, out = var.source_redis_port }
    }
  ]...)
}

resource "aws_vpc_security_group_egress_rule" "sidecar" {
  for_each = local.group_rules

  security_group_id            = aws_security_group.sidecar.id
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = each.value.from
  to_port                      = each.value.to
  description                  = "Sidecars to ${each.value.what}."
  tags                         = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "sidecar" {
  for_each = local.group_rules

  security_group_id            = each.value.group
  referenced_security_group_id = aws_security_group.sidecar.id
  ip_protocol                  = "tcp"
  from_port                    = each.value.from
  to_port                      = each.value.to
  description                  = "${each.value.what} from sidecars."
  tags                         = local.tags
}

# A sidecar in the VPC still reaches the self-hosted side.
resource "aws_vpc_security_group_egress_rule" "sidecar_to_source" {
  for_each = local.source_rules

  security_group_id = aws_security_group.sidecar.id
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.out
  to_port           = each.value.out
  description       = "Sidecars to the self-hosted side."
  tags              = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "source" {
  for_each = local.source_rules

  security_group_id = each.value.group
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.in
  to_port           = each.value.in
  description       = "The self-hosted network, while both sides are in use."
  tags              = local.tags
}

resource "aws_vpc_security_group_egress_rule" "source" {
  for_each = local.source_rules

  security_group_id = each.value.group
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.out
  to_port           = each.value.out
  description       = "Replication from the self-hosted side."
  tags              = local.tags
}

resource "aws_vpc_endpoint" "this" {
  for_each = local.endpoint_services

  vpc_id              = local.vpc_id
  service_name        = "com.amazonaws.${data.aws_region.current.id}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = local.private_subnet_ids
  security_group_ids  = aws_security_group.endpoints[*].id
  tags                = merge(local.tags, { Name = "${local.prefix}-${each.key}" })
}
