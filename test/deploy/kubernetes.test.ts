/**
 * The rendered manifests of every overlay: as kustomize renders them, of the types of Kubernetes and
 * of the Prometheus operator, with the promises that docs/deployment.md makes.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { z } from 'zod'
import { pontoon } from '../cli/capture.ts'
import { projectRoot } from '../packaging/rehearsal.ts'
import { parseManifests, render } from './kustomize.ts'
import type { Manifest } from './kustomize.ts'

const folder = join(projectRoot, 'deploy/kubernetes/overlays')
const environments = ['dev', 'staging', 'prod'] as const
const rendered = new Map(environments.map((name) => [name, render(join(folder, name))]))

/** Where the type of each kind is. */
const modules: Readonly<Record<string, string>> = {
  ServiceAccount: 'kubernetes-models/v1/ServiceAccount',
  ConfigMap: 'kubernetes-models/v1/ConfigMap',
  PersistentVolumeClaim: 'kubernetes-models/v1/PersistentVolumeClaim',
  Deployment: 'kubernetes-models/apps/v1/Deployment',
  Job: 'kubernetes-models/batch/v1/Job',
  NetworkPolicy: 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy',
  PodMonitor: '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor',
}

void t.test('every overlay is of the types of Kubernetes', async (test) => {
  const all = [...rendered.values()].flat()
  test.equal(all.length, 3 * 9)
  const place = mkdtempSync(join(projectRoot, 'node_modules/.kubernetes-types-'))
  test.teardown(() => rmSync(place, { recursive: true, force: true }))
  const file = join(place, 'manifests.ts')
  const imports = Object.entries(modules).map(
    ([kind, module]) => `import type { I${kind} } from '${module}'`,
  )
  const values = all.map((one, n) => `export const m${n}: I${one.kind} = ${JSON.stringify(one)}`)
  // The check must find what it is for: a key that does not exist, a number that is none.
  const wrong = [
    "// @ts-expect-error misspelt\nexport const a: IJob = { apiVersion: 'batch/v1', kind: 'Job', spec: { suspended: true } }",
    "// @ts-expect-error text\nexport const b: IJob = { apiVersion: 'batch/v1', kind: 'Job', spec: { backoffLimit: '0' } }",
  ]
  writeFileSync(file, [...imports, ...values, ...wrong].join('\n'))
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--ignoreConfig', '--target', 'es2022']
  const resolution = ['--module', 'nodenext', '--moduleResolution', 'nodenext']
  const tsc = join(projectRoot, 'node_modules/.bin/tsc')
  const output = ((): string => {
    try {
      return execFileSync(tsc, [...options, ...resolution, file], {
        encoding: 'utf8',
        stdio: 'pipe',
      })
    } catch (error) {
      return error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error)
    }
  })()
  test.equal(output, '')
})

function hasKustomize(): boolean {
  try {
    execFileSync('kubectl', ['kustomize', '--help'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}

const key = ({ kind, metadata }: Manifest): string => `${kind}/${metadata.name}`

const skip = hasKustomize() ? false : 'there is no kubectl with kustomize'
void t.test('they are what kustomize renders', { skip }, async (test) => {
  for (const [name, own] of rendered) {
    const text = execFileSync('kubectl', ['kustomize', join(folder, name)], { encoding: 'utf8' })
    const theirs = parseManifests(text)
    const sorted = (all: readonly Manifest[]): readonly Manifest[] =>
      all.toSorted((a, b) => (key(a) < key(b) ? -1 : 1))
    test.same(sorted(own), sorted(theirs), name)
  }
})

const container = z.looseObject({
  name: z.string(),
  image: z.string(),
  restartPolicy: z.string().optional(),
  lifecycle: z.unknown().optional(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })).optional(),
  startupProbe: z.unknown().optional(),
  livenessProbe: z.unknown().optional(),
  readinessProbe: z.unknown().optional(),
  resources: z.looseObject({
    requests: z.looseObject({ cpu: z.string(), memory: z.string() }),
    limits: z.looseObject({ memory: z.string() }),
  }),
  securityContext: z.unknown(),
})
const podSpec = z.looseObject({
  terminationGracePeriodSeconds: z.number().optional(),
  automountServiceAccountToken: z.literal(false),
  securityContext: z.unknown(),
  initContainers: z.array(container).default([]),
  containers: z.array(container),
})
const workload = z.looseObject({
  spec: z.looseObject({ template: z.looseObject({ spec: podSpec }) }),
})

function find(all: readonly Manifest[], kind: string, name: string): Manifest {
  const found = all.find((one) => one.kind === kind && one.metadata.name === name)
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`)
  return found
}

void t.test(
  'pods are locked down, the sidecar is native, probes follow the process',
  async (test) => {
    for (const [environment, all] of rendered) {
      const pods = [find(all, 'Deployment', 'orders'), find(all, 'Job', 'pontoon-migrator')].map(
        (one) => workload.parse(one).spec.template.spec,
      )
      for (const pod of pods) {
        test.match(pod.securityContext, {
          runAsNonRoot: true,
          runAsUser: 65532,
          seccompProfile: { type: 'RuntimeDefault' },
        })
        for (const one of [...pod.initContainers, ...pod.containers])
          lockedDown(test, one, environment)
      }
      const [deployment] = pods
      const sidecar = deployment?.initContainers.find(({ name }) => name === 'pontoon')
      test.match(sidecar, {
        restartPolicy: 'Always',
        lifecycle: undefined,
        startupProbe: {
          httpGet: { path: '/health/startup', port: 'probe' },
          periodSeconds: 1,
          failureThreshold: 60,
        },
        livenessProbe: { httpGet: { path: '/health/live', port: 'probe' } },
        readinessProbe: { httpGet: { path: '/health/ready', port: 'probe' } },
      })
      test.ok((deployment?.terminationGracePeriodSeconds ?? 0) > 50, 'longer than both drains')
    }
  },
)

function lockedDown(test: Test, one: z.infer<typeof container>, environment: string): void {
  const where = `${environment}: ${one.name}`
  test.match(
    one.securityContext,
    {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    where,
  )
  test.match(one.image, /^registry\.example\.com\/[a-z-]+:\d+\.\d+\.\d+$/, where)
  for (const { name, value } of one.env ?? [])
    test.ok(
      value === undefined || !/password|token|secret/i.test(name),
      `${where}: ${name} by reference`,
    )
}

void t.test('the configuration in them is valid, and names what is unset', async (test) => {
  const data = z.looseObject({ data: z.record(z.string(), z.string()) })
  for (const [environment, all] of rendered) {
    const files = data.parse(find(all, 'ConfigMap', 'pontoon-config')).data
    const endpoints = data.parse(find(all, 'ConfigMap', 'pontoon-endpoints')).data
    const secrets = [
      'admin-token',
      'client-password',
      'source-password',
      'client-redis-password',
      'source-redis-password',
      'control-password',
      'replication-password',
      'read-password',
    ]
    const place = test.testdir({
      ...Object.fromEntries(
        Object.entries(files).map(([name, text]) => [name, text.replaceAll('/secrets/', './')]),
      ),
      ...Object.fromEntries(secrets.map((name) => [name, `a-${name}`])),
    })
    const args = [
      'check',
      '--offline',
      ...Object.keys(files).flatMap((name) => ['--config', join(place, name)]),
    ]
    const env = Object.fromEntries(
      Object.entries(endpoints).map(([name, value]) => [
        name.toUpperCase().replaceAll('-', '_'),
        value,
      ]),
    )
    const good = await pontoon(args, env)
    test.equal(good.exit, 0, `${environment}: ${good.err}`)
    test.match(await pontoon(args, { SOURCE_HOST: 'a' }), {
      exit: 1,
      err: /TARGET_HOST.*\[CONFIG_ENV_MISSING\]/s,
    })
    const text = Object.values(files).join('\n')
    test.match(text, /listen: localhost:6432/, 'data ports are on loopback')
    test.match(text, /listen: 127\.0\.0\.1:7070/, 'so is the admin API')
  }
})

void t.test('nothing but Prometheus may come in, and only to the probe listener', async (test) => {
  for (const all of rendered.values()) {
    test.match(find(all, 'NetworkPolicy', 'pontoon'), {
      spec: {
        policyTypes: ['Ingress', 'Egress'],
        ingress: [{ from: [{ namespaceSelector: Object }], ports: [{ port: 9901 }] }],
      },
    })
    test.notMatch(JSON.stringify(find(all, 'NetworkPolicy', 'pontoon')), /0\.0\.0\.0\/0/)
    test.match(find(all, 'PodMonitor', 'pontoon'), {
      spec: {
        podMetricsEndpoints: [
          { port: 'probe', relabelings: [{ targetLabel: 'job', replacement: 'pontoon' }] },
        ],
      },
    })
    test.equal(
      all.some(({ kind }) => kind === 'Secret'),
      false,
      'secrets come from elsewhere',
    )
  }
})
