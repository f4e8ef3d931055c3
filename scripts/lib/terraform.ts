/**
 * Finds Terraform and a mirror of the AWS provider on this machine. Nothing is downloaded: without
 * a mirror what needs the real provider is skipped, and the trimmed schema in terraform/ stands in.
 * Neighbours: ../terraform-schema.ts and test/terraform.
 */
import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

export interface Terraform {
  readonly binary: string
  /** For `terraform init -plugin-dir`. */
  readonly mirror: string
}

/** What is lacking, in words, when one of the two is. */
export function findTerraform(): Terraform | string {
  const binary = onPath('terraform')
  if (binary === undefined) return 'terraform is not installed'
  const mirror = mirrorCandidates().find((folder) => existsSync(join(folder, awsProvider)))
  return mirror === undefined ? 'no mirror of the AWS provider was found' : { binary, mirror }
}

/** For tests: why to skip, false when nothing is lacking. */
export function lacking(): string | false {
  const found = findTerraform()
  return typeof found === 'string' ? found : false
}

/** A configuration file named by the environment may be missing, which Terraform warns about. */
export function terraformEnv(): NodeJS.ProcessEnv {
  return { ...process.env, TF_CLI_CONFIG_FILE: '/dev/null', CHECKPOINT_DISABLE: '1' }
}

const awsProvider = 'registry.terraform.io/hashicorp/aws'

/** Where Terraform itself looks by default, what TF_PLUGIN_MIRROR names, and folders of /opt. */
function mirrorCandidates(): readonly string[] {
  const named = process.env['TF_PLUGIN_MIRROR']
  const underOpt = existsSync('/opt')
    ? readdirSync('/opt', { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join('/opt', entry.name))
    : []
  return [
    ...(named === undefined ? [] : [named]),
    join(homedir(), '.terraform.d/plugins'),
    join(homedir(), '.terraform.d/plugin-cache'),
    join(homedir(), '.local/share/terraform/plugins'),
    '/usr/local/share/terraform/plugins',
    '/usr/share/terraform/plugins',
    ...underOpt,
  ]
}

function onPath(program: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find((file) => existsSync(file))
}
