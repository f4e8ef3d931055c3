/**
 * The status page: reads the event stream of the admin API and redraws. Everything is put in as
 * text, never as markup, because names come from clients. fetch instead of EventSource, because
 * only fetch can send the token.
 */
const eventsShown = 50
const tokenKey = 'pontoon-token'
const connection = document.getElementById('connection')
const services = document.getElementById('services')
const events = document.getElementById('events')
const happened = document.getElementById('happened')
const metrics = document.getElementById('metrics')
const form = document.getElementById('token-form')
let lastEventId = '0'

form.addEventListener('submit', (event) => {
  event.preventDefault()
  sessionStorage.setItem(tokenKey, document.getElementById('token').value)
  form.hidden = true
  void follow()
})

void follow()

async function follow() {
  const retry = await readStream().catch((error) => {
    say(`not connected: ${error.message}`, 'bad')
    return true
  })
  if (retry) setTimeout(follow, 1_000)
}

/** Resolves to whether to try again; a missing token waits for the form instead. */
async function readStream() {
  const headers = { 'Last-Event-ID': lastEventId, ...authorization() }
  const first = await fetch('/v1/services', { headers })
  const isRefused = first.status === 401 || first.status === 429
  form.hidden = !isRefused
  happened.hidden = isRefused
  // A link cannot send the token, so this one would lead to a refusal.
  metrics.hidden = isRefused || headers.Authorization !== undefined
  if (isRefused) {
    say(refusal(first.status, headers), 'warn')
    return false
  }
  drawServices((await first.json()).services)
  const answer = await fetch('/v1/events', { headers })
  if (!answer.ok) throw new Error(`the sidecar answered ${answer.status}`)
  say('live', 'good')
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) throw new Error('the sidecar closed the stream')
    const blocks = (rest + value).split('\n\n')
    rest = blocks.pop()
    for (const block of blocks) takeEvent(block)
  }
}

function refusal(status, { Authorization }) {
  if (status === 429) return 'too many wrong tokens; wait a minute'
  return Authorization === undefined ? 'a token is needed' : 'this token is not valid'
}

function authorization() {
  const token = sessionStorage.getItem(tokenKey)
  return token === null ? {} : { Authorization: `Bearer ${token}` }
}

function takeEvent(block) {
  const fields = Object.fromEntries(
    block.split('\n').map((line) => {
      const colon = line.indexOf(': ')
      return [line.slice(0, colon), line.slice(colon + 2)]
    }),
  )
  if (fields.data === undefined) return
  const data = JSON.parse(fields.data)
  if (fields.id !== undefined) lastEventId = fields.id
  if (fields.event === 'services') drawServices(data.services)
  else logEvent(fields.event, data)
}

function logEvent(kind, { atMs, ...data }) {
  const time = new Date(atMs).toLocaleString()
  events.prepend(element('li', `${time}  ${kind}  ${describe(kind, data)}`))
  while (events.childElementCount > eventsShown) events.lastElementChild.remove()
}

function describe(kind, data) {
  if (kind === 'route') {
    const { before, after } = data
    return `${data.service}: reads ${before.reads}% → ${after.reads}%, ${after.phase}, epoch ${after.epoch}, by ${data.by}`
  }
  if (kind === 'gate') return `${data.service}: ${data.reason || data.state}`
  if (kind === 'side')
    return `${data.service}: ${data.side} ${data.reachable ? 'answers' : data.message}`
  if (kind === 'sync')
    return `${data.service}: ${data.direction} sync ${data.state}${data.cause ? `: ${data.cause}` : ''}`
  if (kind === 'operation') {
    const now = data.state === 'running' ? atStep(data) : data.stepText && `: ${data.stepText}`
    return `${data.service}: ${data.kind} ${data.state}${now}${pauseWords(data.report)}`
  }
  if (kind === 'errors') return `${data.service}: ${counts(data.counts)}`
  if (kind === 'config')
    return `taken again; in force: ${list(data.applied)}; after a restart: ${list(data.needRestart)}`
  if (kind === 'stopping') return `${data.reason}; running transactions have ${data.drainMs} ms`
  return JSON.stringify(data)
}

function list(names) {
  return names.join(', ') || 'nothing'
}

/** A step has the name that docs/cutover.md gives it, and words for what is true at its end. */
function atStep({ step, stepText }) {
  return step === null ? '' : `, at step ${step} (${stepText})`
}

function pauseWords(report) {
  if (report === null) return ''
  const { pauseMs, reason } = report
  return `${pauseMs === null ? '' : `, paused for ${Math.round(pauseMs)} ms`}${reason === null ? '' : `: ${reason}`}`
}

function drawServices(views) {
  services.replaceChildren(...views.map(drawService))
}

function drawService(view) {
  const { route, gate } = view
  const box = element('article')
  const bar = element('progress')
  bar.className = 'bar'
  bar.max = 100
  bar.value = route.reads
  bar.ariaLabel = 'percentage of reads that go to the target'
  box.append(
    element('h2', `${view.name} · ${view.protocol} · ${view.listening.join(', ')}`),
    element(
      'p',
      `phase ${route.phase} · writes go to the ${route.primary} · route at epoch ${route.epoch}`,
    ),
    element('p', `reads that go to the target: ${route.reads}%`),
    bar,
    element('p', gateWords(gate), gate.state === 'paused' ? 'warn' : 'good'),
    ...operationLines(view.operation),
    ...syncLines(view),
    element('p', `clients: ${counts(view.clients)}`),
    sidesTable(view),
  )
  return box
}

function gateWords(gate) {
  if (gate.state === 'open') return 'gate open: transactions run'
  const opens =
    gate.opensInMs === null
      ? 'does not open by itself'
      : `opens in ${(gate.opensInMs / 1000).toFixed(1)} s`
  return `gate shut (${gate.reason}): ${gate.parked} clients wait; ${opens}`
}

/** A cutover or rollback under way, step by step. */
function operationLines(operation) {
  if (operation === null) return []
  const { kind, steps } = operation
  const done = steps.map(({ step, tookMs }) => `${step} ${tookMs.toFixed(0)} ms`)
  return [
    element('p', `${kind} under way${atStep(operation)}`, 'warn'),
    ...(done.length === 0 ? [] : [element('p', `done: ${done.join(', ')}`)]),
  ]
}

function syncLines({ sync, route, operation }) {
  if (sync === undefined) return []
  const { direction, health, conditions, rollbackReady, givenUpSince } = sync
  // The other direction may not be there; this one has to be.
  const shown = health.filter((one) => one.direction === direction || one.state !== 'absent')
  // A switch under way has looked at them, and shuts the gate, which is one of them.
  const failed = operation === null ? conditions.filter(({ ok }) => !ok) : []
  const ready = route.primary === 'target'
  return [
    ...shown.map((one) =>
      element('p', healthWords(one), one.state === 'streaming' ? 'good' : 'warn'),
    ),
    ...(ready && rollbackReady ? [element('p', 'a rollback would lose nothing', 'good')] : []),
    ...failed.map(({ name, text }) =>
      element(
        'p',
        `${ready ? 'no rollback without loss' : 'to be mended before a cutover'}: ${name}: ${text}`,
        givenUpSince === null ? 'bad' : 'warn',
      ),
    ),
  ]
}

function healthWords({ direction, state, lagMs, lagBytes, problem }) {
  const behind = [
    ...(lagMs === null ? [] : [`${Math.round(lagMs)} ms`]),
    ...(lagBytes === null ? [] : [`${number(lagBytes)} bytes of WAL`]),
  ]
  const words = behind.length === 0 ? '' : `, behind ${behind.join(', ')}`
  return `${direction} sync ${state}${words}${problem === null ? '' : `: ${problem.cause}`}`
}

function counts(numbers) {
  const parts = Object.entries(numbers).filter(([, value]) => value > 0)
  return parts.map(([name, value]) => `${number(value)} ${name}`).join(', ') || 'none'
}

function sidesTable(view) {
  const table = element('table')
  const headings = [
    'side',
    'server',
    'state',
    'servers busy',
    'servers idle',
    'clients waiting',
    'transactions',
    'p99 of their time',
  ]
  const head = element('tr')
  head.append(...headings.map((text) => element('th', text)))
  table.append(head, ...['source', 'target'].map((side) => sideRow(view, side)))
  return table
}

function sideRow(view, side) {
  const facts = view.sides[side]
  const pools = view.pools.filter((pool) => pool.side === side)
  const sum = (name) => number(pools.reduce((total, pool) => total + pool[name], 0))
  const tones = { reachable: 'good', unreachable: 'bad', unknown: '' }
  const row = element('tr')
  row.append(
    element('td', side === view.route.primary ? `${side} (writes)` : side),
    element('td', `${facts.host}:${facts.port} ${facts.version}`),
    element('td', facts.message || facts.state, tones[facts.state]),
    element('td', sum('active')),
    element('td', sum('idle')),
    element('td', sum('waiting')),
    element('td', number(facts.transactions)),
    element('td', `${number(Math.max(facts.readP99Ms, facts.writeP99Ms))} ms`),
  )
  return row
}

function number(value) {
  return value.toLocaleString('en')
}

function element(name, text = '', className = '') {
  const made = document.createElement(name)
  made.textContent = text
  made.className = className
  return made
}

function say(text, className) {
  connection.textContent = text
  connection.className = className
}
