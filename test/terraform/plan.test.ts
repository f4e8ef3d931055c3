/**
 * Plans every example with the real provider and keys that open nothing, in one run, and holds the
 * plan to the rules of the house: what protects data is on, and nothing is open to the world.
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { z } from 'zod'
import { lacking } from '../../scripts/lib/terraform.ts'
import { copyTerraform } from './terraform.ts'
import type { TerraformCopy } from './terraform.ts'

const resourceChange = z.object({
  address: z.string(),
  type: z.string(),
  change: z.object({
    after: z.record(z.string(), z.unknown()),
    after_unknown: z.record(z.string(), z.unknown()),
  }),
})
const rule = z.object({
  cidr_ipv4: z.string().nullable(),
  cidr_ipv6: z.string().nullable(),
  ip_protocol: z.string(),
})
const plan = z.object({ resource_changes: z.array(resourceChange) })
type Change = z.infer<typeof resourceChange>

const offlineProvider = `provider "aws" {
  access_key                  = "not-a-key"
  secret_key                  = "not-a-key"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}
`

void t.test('the plans of the examples keep the rules', { skip: lacking() }, async (test) => {
  const changes = await planExamples(copyTerraform(test))
  const of = (type: string): readonly Change[] => changes.filter((one) => one.type === type)
  test.same(new Set(changes.map(exampleOf)).size, 4, 'every example has a plan')
  checkDatabases(test, of('aws_db_instance'), of('aws_db_parameter_group'))
  checkCaches(test, of('aws_elasticache_replication_group'), of('aws_elasticache_serverless_cache'))
  checkNetwork(test, changes)
  for (const { address, change } of of('aws_kms_key'))
    test.equal(change.after['enable_key_rotation'], true, `${address} rotates`)
  test.same(of('aws_secretsmanager_secret_version'), [], 'no secret stands in the state')
  const alarms = of('aws_cloudwatch_metric_alarm')
  test.ok(alarms.length > 25, `${alarms.length} alarms`)
  for (const { address, change } of alarms) {
    const actions = change.after['alarm_actions'] ?? change.after_unknown['alarm_actions']
    test.ok(actions !== undefined, `${address} tells somebody`)
  }
})

function checkDatabases(test: Test, instances: readonly Change[], groups: readonly Change[]): void {
  test.equal(instances.length, 5, 'four instances and a replica')
  for (const one of instances) {
    const replica = one.address.includes('.replica[')
    test.match(
      one.change.after,
      {
        storage_encrypted: true,
        publicly_accessible: false,
        iam_database_authentication_enabled: true,
        performance_insights_enabled: true,
        ...(isProd(one) ? { deletion_protection: true } : {}),
        ...(isProd(one) && !replica ? { multi_az: true } : {}),
        ...(replica ? {} : { skip_final_snapshot: false, manage_master_user_password: true }),
      },
      one.address,
    )
    const days = Number(one.change.after['backup_retention_period'])
    test.ok(replica || days >= 7, `${one.address} keeps backups for ${days} days`)
    const logs = z.array(z.string()).parse(one.change.after['enabled_cloudwatch_logs_exports'])
    test.ok(logs.includes('postgresql'), `${one.address} exports its log`)
  }
  const parameter = z.object({ name: z.string(), value: z.string(), apply_method: z.string() })
  test.equal(groups.length, 4)
  for (const { address, change } of groups) {
    const set = z
      .array(parameter)
      .parse(change.after['parameter'])
      .map(({ name, value, apply_method: method }) => `${name}=${value} ${method}`)
    test.ok(set.includes('rds.logical_replication=1 pending-reboot'), `${address} replicates`)
    test.ok(set.includes('rds.force_ssl=1 immediate'), `${address} forces TLS`)
  }
}

function checkCaches(test: Test, groups: readonly Change[], serverless: readonly Change[]): void {
  test.equal(groups.length, 2)
  for (const one of groups) {
    const migrating = exampleOf(one) === 'online-migration'
    test.match(
      one.change.after,
      {
        at_rest_encryption_enabled: 'true',
        transit_encryption_enabled: !migrating,
        ...(migrating ? {} : { transit_encryption_mode: 'required' }),
        automatic_failover_enabled: true,
        multi_az_enabled: true,
        snapshot_retention_limit: 7,
        log_delivery_configuration: { length: 2 },
      },
      one.address,
    )
  }
  test.equal(serverless.length, 1)
  for (const { address, change } of serverless)
    test.match(change.after, { snapshot_retention_limit: 7 }, address)
}

function checkNetwork(test: Test, changes: readonly Change[]): void {
  const forbidden = [
    'aws_internet_gateway',
    'aws_nat_gateway',
    'aws_eip',
    'aws_security_group_rule',
  ]
  test.same(
    changes.filter((one) => forbidden.includes(one.type)).map((one) => one.address),
    [],
    'no way in or out of the network',
  )
  const rules = changes.filter(({ type }) => /^aws_vpc_security_group_\w+_rule$/.test(type))
  test.ok(rules.length > 20, `${rules.length} rules`)
  for (const { address, change } of rules) {
    const { cidr_ipv4: cidr, cidr_ipv6: cidr6, ip_protocol: protocol } = rule.parse(change.after)
    test.ok(cidr?.endsWith('/0') !== true, `${address} is for a known network`)
    test.ok(cidr6 === null && protocol === 'tcp', `${address} is IPv4 and TCP`)
  }
  for (const { address, change } of changes.filter(({ type }) => type === 'aws_subnet'))
    test.equal(change.after['map_public_ip_on_launch'], false, `${address} is private`)
}

async function planExamples(copy: TerraformCopy): Promise<readonly Change[]> {
  const examples = readdirSync(join(copy.folder, 'terraform/examples'))
  for (const name of examples) {
    const folder = join(copy.folder, 'terraform/examples', name)
    // Terraform lays files that end so over the others.
    writeFileSync(join(folder, 'provider_override.tf'), offlineProvider)
  }
  const calls = examples.map(
    (name) => `module "${name}" {\n  source = "./terraform/examples/${name}"\n}\n`,
  )
  writeFileSync(join(copy.folder, 'main.tf'), calls.join('\n'))
  await copy.init('.')
  await copy.must('.', 'plan', '-refresh=false', '-input=false', '-no-color', '-out=plan.bin')
  const shown: unknown = JSON.parse(await copy.must('.', 'show', '-json', 'plan.bin'))
  return plan.parse(shown).resource_changes.filter((one) => one.address.startsWith('module.'))
}

function exampleOf({ address }: Change): string {
  return address.split('.')[1] ?? ''
}

function isProd(change: Change): boolean {
  return ['new-vpc', 'online-migration'].includes(exampleOf(change))
}
