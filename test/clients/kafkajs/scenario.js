// The client scenario of test/clients (see README.md there) with kafkajs.
'use strict'

const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const SnappyCodec = require('kafkajs-snappy')
const lz4 = require('lz4js')
const xxh32 = require('lz4js/xxh32')
const zstd = require('@bokuweb/zstd-wasm')

// kafkajs brings gzip only; the other codecs are plugged in, as its documentation tells users to.
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => lz4Frame(encoder.buffer),
  decompress: async buffer => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async buffer => Buffer.from(zstd.decompress(buffer)),
})

// lz4js leaves out the frame flag "blocks are independent", though they are, and Kafka refuses frames without it.
function lz4Frame(data) {
  const frame = Buffer.from(lz4.compress(data))
  frame[4] |= 0x20
  frame[6] = (xxh32.hash(0, frame, 4, 2) >>> 8) & 0xff // the header checksum covers the flags
  return frame
}

const PARTITIONS = 4
const PER_CODEC = 120
const STEP_TIMEOUT_MS = 60000
const SIZES = [1, 100, 1000, 3, 10000, 257, 20000, 64] // kafkajs puts all into one batch, which must stay below 1 MB

const [bootstrap, replicationFactor] = [process.argv[2] || '127.0.0.1:9092', Number(process.argv[3] || 1)]
const stamp = `${Date.now()}-${process.pid}`
const topic = `clients-kafkajs-${stamp}`
const groupId = `clients-kafkajs-group-${stamp}`
const baseTime = Date.now() - 3600000 // recent, or retention would delete what is written
const written = Array.from({ length: PARTITIONS }, () => []) // acknowledged, in offset order

const kafka = new Kafka({
  clientId: 'balsa-clients-kafkajs',
  brokers: bootstrap.split(','),
  logLevel: process.env.DEBUG ? logLevel.INFO : logLevel.NOTHING,
  retry: { retries: 8 },
})

function newRecord(wave, i) {
  const key = `${wave}-${String(i).padStart(4, '0')}`
  let value
  if (i % 50 === 7) value = null
  else if (i % 50 === 8) value = Buffer.alloc(0)
  else value = Buffer.alloc(SIZES[i % SIZES.length], key + '|')
  const n = Buffer.alloc(4)
  n.writeUInt32BE(i)
  return { key, value, partition: i % PARTITIONS, headers: { wave, n }, timestamp: String(baseTime + i) }
}

async function create() {
  const admin = kafka.admin()
  await admin.connect()
  try {
    await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor }], waitForLeaders: true })
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    const got = topics[0].partitions.length
    if (got !== PARTITIONS) throw new Error(`topic has ${got} partitions, want ${PARTITIONS}`)
  } finally {
    await admin.disconnect()
  }
}

// produceWave writes PER_CODEC records with an idempotent acks=all producer and notes what was acknowledged.
async function produceWave(wave, compression) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  try {
    const messages = Array.from({ length: PER_CODEC }, (_, i) => newRecord(wave, i))
    const acks = await producer.send({ topic, acks: -1, compression, messages })
    for (const { partition, baseOffset } of acks) {
      if (Number(baseOffset) !== written[partition].length) {
        throw new Error(`base offset ${baseOffset} in partition ${partition}, want ${written[partition].length}`)
      }
    }
    for (const m of messages) written[m.partition].push(m)
  } finally {
    await producer.disconnect()
  }
}

// Member is one consumer of the group.
class Member {
  constructor(group, fromBeginning) {
    this.seen = []
    this.assigned = 0
    this.consumer = kafka.consumer({ groupId: group, heartbeatInterval: 500, sessionTimeout: 10000, rebalanceTimeout: 15000 })
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      this.assigned = (payload.memberAssignment[topic] || []).length
    })
    this.consumer.on(this.consumer.events.CRASH, ({ payload }) => { this.crash = payload.error })
    this.fromBeginning = fromBeginning
  }

  async join() {
    await this.consumer.connect()
    await this.consumer.subscribe({ topics: [topic], fromBeginning: this.fromBeginning })
    await this.consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, uncommittedOffsets }) => {
        for (const m of batch.messages) {
          this.seen.push({ partition: batch.partition, ...m })
          resolveOffset(m.offset)
        }
        await commitOffsetsIfNecessary(uncommittedOffsets())
        await heartbeat()
      },
    })
    return this
  }

  async leave() {
    await this.consumer.disconnect()
    if (this.crash) throw this.crash
  }
}

async function waitFor(what, cond) {
  const end = Date.now() + STEP_TIMEOUT_MS - 1000
  while (!cond()) {
    if (Date.now() > end) throw new Error(`timed out waiting for ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

function unseen(...members) {
  const seen = new Set(members.flatMap(m => m.seen.map(r => r.key.toString())))
  return written.flat().filter(r => !seen.has(r.key)).length
}

// groupRebalance has one member take all partitions, a second one join and leave again, with records written in each
// phase: none may be missed.
async function groupRebalance() {
  const a = new Member(groupId, true)
  const b = new Member(groupId, true)
  try {
    await a.join()
    await waitFor('the first member to own all partitions', () => a.assigned === PARTITIONS)
    await b.join()
    await waitFor('the members to share the partitions', () => a.assigned === PARTITIONS / 2 && b.assigned === PARTITIONS / 2)
    await produceWave('both', CompressionTypes.None)
    await waitFor('both members to get all records', () => unseen(a, b) === 0)
    await b.leave()
    await waitFor('the first member to take over', () => a.assigned === PARTITIONS)
    await produceWave('alone', CompressionTypes.Snappy)
    await waitFor('the first member to get the rest', () => unseen(a, b) === 0)
  } finally {
    await b.leave()
    await a.leave()
  }
}

// commitResume writes on and joins the group anew: only what came after the commit may be seen.
async function commitResume() {
  await produceWave('after', CompressionTypes.GZIP)
  const m = new Member(groupId, true)
  try {
    await m.join()
    await waitFor('the records after the commit', () => m.seen.length >= PER_CODEC)
  } finally {
    await m.leave()
  }
  const old = m.seen.find(r => !r.key.toString().startsWith('after'))
  if (old) throw new Error(`got ${old.key}, which was committed before`)
}

function same(got, want) {
  if (got.key.toString() !== want.key) throw new Error(`key ${got.key}, want ${want.key}`)
  if ((got.value === null) !== (want.value === null) || (got.value && !got.value.equals(want.value))) {
    throw new Error(`value of ${want.key} differs`)
  }
  if (got.timestamp !== want.timestamp) throw new Error(`timestamp ${got.timestamp}, want ${want.timestamp}`)
  const { wave, n } = got.headers
  if (String(wave) !== want.headers.wave || !want.headers.n.equals(n)) throw new Error(`headers of ${want.key} differ`)
}

// replay reads everything from offset 0 and compares each partition with what was acknowledged.
async function replay() {
  const m = new Member(`${groupId}-replay`, false)
  const total = written.reduce((n, p) => n + p.length, 0)
  try {
    await m.join()
    for (let partition = 0; partition < PARTITIONS; partition++) m.consumer.seek({ topic, partition, offset: '0' })
    await waitFor('all records', () => m.seen.length >= total)
  } finally {
    await m.leave()
  }
  written.forEach((want, partition) => {
    const got = m.seen.filter(r => r.partition === partition)
    if (got.length !== want.length) throw new Error(`partition ${partition}: read ${got.length}, wrote ${want.length}`)
    want.forEach((w, i) => {
      if (Number(got[i].offset) !== i) throw new Error(`partition ${partition}: offset ${got[i].offset}, want ${i}`)
      same(got[i], w)
    })
  })
}

async function main() {
  await zstd.init()
  const steps = [
    ['create-topic', create],
    ['produce-none', () => produceWave('none', CompressionTypes.None)],
    ['produce-gzip', () => produceWave('gzip', CompressionTypes.GZIP)],
    ['produce-snappy', () => produceWave('snappy', CompressionTypes.Snappy)],
    ['produce-lz4', () => produceWave('lz4', CompressionTypes.LZ4)],
    ['produce-zstd', () => produceWave('zstd', CompressionTypes.ZSTD)],
    ['group-rebalance', groupRebalance],
    ['commit-resume', commitResume],
    ['replay', replay],
  ]
  for (const [name, step] of steps) {
    const limit = new Promise((_, reject) => setTimeout(reject, STEP_TIMEOUT_MS, new Error('timed out')).unref())
    try {
      await Promise.race([step(), limit])
      console.log(`PASS kafkajs ${name}`)
    } catch (err) {
      console.log(`FAIL kafkajs ${name}: ${err.message}`)
      process.exitCode = 1
    }
  }
  process.exit()
}

main()
