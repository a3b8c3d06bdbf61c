// Fastify + better-sqlite3 on SQLite. Environment: DATABASE (a file), JWT_SECRET, PORT.

import cluster from 'node:cluster';
import { createHash, randomBytes } from 'node:crypto';
import formbody from '@fastify/formbody';
import jwt from '@fastify/jwt';
import { verify } from '@node-rs/argon2';
import Database from 'better-sqlite3';
import Fastify from 'fastify';

const PROCESSES = 2;

const uuid = { type: 'string', format: 'uuid' };
const time = { type: 'string' };
const question = {
  type: 'object',
  properties: {
    id: uuid,
    question_text: { type: 'string' },
    author: { type: 'object', properties: { id: uuid, name: { type: 'string' } } },
    choices: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          id: uuid,
          choice_text: { type: 'string' },
          position: { type: 'integer' },
          votes: { type: 'integer' },
        },
      },
    },
    min_choices: { type: 'integer' },
    max_choices: { type: 'integer' },
    allow_change: { type: 'boolean' },
    results_visibility: { type: 'string' },
    status: { type: 'string' },
    ballot_count: { type: 'integer' },
    revision: { type: 'integer' },
    created_at: time,
    updated_at: time,
  },
};
const ballot = {
  type: 'object',
  properties: {
    question_id: uuid,
    choice_ids: { type: 'array', items: uuid },
    cast_at: time,
    updated_at: time,
    results: {
      type: 'object',
      properties: {
        question_id: uuid,
        ballot_count: { type: 'integer' },
        choices: {
          type: 'array',
          items: {
            type: 'object',
            properties: {
              id: uuid,
              choice_text: { type: 'string' },
              votes: { type: 'integer' },
              share: { type: 'number' },
            },
          },
        },
        leading_choice_ids: { type: 'array', items: uuid },
        is_final: { type: 'boolean' },
        as_of: time,
      },
    },
  },
};
const params = { type: 'object', properties: { id: uuid } };

function questionsOf(rows) {
  const questions = new Map();
  for (const row of rows) {
    let found = questions.get(row.id);
    if (!found) {
      found = {
        id: row.id,
        question_text: row.question_text,
        author: { id: row.author_id, name: row.name },
        choices: [],
        min_choices: 1,
        max_choices: 1,
        allow_change: true,
        results_visibility: 'always',
        status: row.closed_at ? 'closed' : 'open',
        ballot_count: row.ballot_count,
        revision: 1,
        created_at: row.created_at,
        updated_at: row.updated_at,
      };
      questions.set(row.id, found);
    }
    const { choice_id: id, choice_text, position, votes } = row;
    found.choices.push({ id, choice_text, position, votes });
  }
  return [...questions.values()];
}

function resultsOf({ id, ballot_count, choices, status }) {
  const most = Math.max(...choices.map((choice) => choice.votes));
  return {
    question_id: id,
    ballot_count,
    choices: choices.map(({ id, choice_text, votes }) => ({
      id,
      choice_text,
      votes,
      share: ballot_count ? Math.round((votes / ballot_count) * 1e4) / 1e4 : 0,
    })),
    leading_choice_ids: choices.filter(({ votes }) => votes && votes === most).map(({ id }) => id),
    is_final: status === 'closed',
    as_of: new Date().toISOString(),
  };
}

async function serve() {
  const db = new Database(process.env.DATABASE);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.pragma('foreign_keys = ON');
  db.pragma('busy_timeout = 5000');
  const columns = `q.id, q.question_text, q.closed_at, q.ballot_count, q.created_at, q.updated_at,
    u.id AS author_id, u.name, c.id AS choice_id, c.choice_text, c.position, c.votes`;
  const joined = 'JOIN users u ON u.id = q.author_id JOIN choices c ON c.question_id = q.id';
  const sql = {
    question: db.prepare(
      `SELECT ${columns} FROM questions q ${joined} WHERE q.id = ? ORDER BY c.position`,
    ),
    questions: db.prepare(
      `SELECT ${columns}
       FROM (SELECT * FROM questions ORDER BY created_at DESC, id DESC LIMIT ?) q ${joined}
       ORDER BY q.created_at DESC, q.id DESC, c.position`,
    ),
    insert: db.prepare('INSERT INTO ballots VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING'),
    before: db.prepare('SELECT choice_id FROM ballots WHERE question_id = ? AND user_id = ?').pluck(),
    closed: db.prepare('SELECT closed_at FROM questions WHERE id = ?').pluck(),
    owned: db.prepare('SELECT 1 FROM choices WHERE id = ? AND question_id = ?').pluck(),
    more: db.prepare('UPDATE choices SET votes = votes + 1 WHERE id = ?'),
    fewer: db.prepare('UPDATE choices SET votes = votes - 1 WHERE id = ?'),
    count: db.prepare('UPDATE questions SET ballot_count = ballot_count + 1 WHERE id = ?'),
    change: db.prepare(
      'UPDATE ballots SET choice_id = ?, updated_at = ? WHERE question_id = ? AND user_id = ?',
    ),
    account: db.prepare('SELECT id, password_hash FROM users WHERE email = ?'),
    remember: db.prepare('INSERT INTO refresh_tokens VALUES (?, ?, ?)'),
  };

  const cast = db.transaction((user, question, choice, now) => {
    if (!sql.owned.get(choice, question)) return 422;
    if (sql.insert.run(question, user, choice, now, now).changes) {
      if (sql.closed.get(question)) throw Object.assign(new Error('closed'), { statusCode: 409 });
      sql.more.run(choice);
      sql.count.run(question);
      return 201;
    }
    const before = sql.before.get(question, user);
    if (before === choice) return 200;
    if (sql.closed.get(question)) return 409;
    sql.more.run(choice);
    sql.fewer.run(before);
    sql.change.run(choice, now, question, user);
    return 200;
  }).immediate;

  const app = Fastify({ logger: false });
  await app.register(formbody);
  await app.register(jwt, {
    secret: process.env.JWT_SECRET,
    verify: { algorithms: ['HS256'], allowedIss: 'polls', allowedAud: 'polls' },
    sign: { iss: 'polls', aud: 'polls', expiresIn: '15m' },
  });

  app.get('/healthz', async () => ({ status: 'ok' }));

  app.get(
    '/api/v1/questions/:id',
    { schema: { params, response: { 200: question } } },
    async (request, reply) => {
      const [found] = questionsOf(sql.question.all(request.params.id));
      return found ?? reply.code(404).send({ code: 'not_found' });
    },
  );

  app.get(
    '/api/v1/questions',
    {
      schema: {
        querystring: {
          type: 'object',
          properties: { limit: { type: 'integer', minimum: 1, maximum: 100, default: 20 } },
        },
        response: {
          200: {
            type: 'object',
            properties: { data: { type: 'array', items: question }, meta: { type: 'object' } },
          },
        },
      },
    },
    async (request) => ({ data: questionsOf(sql.questions.all(request.query.limit)), meta: {} }),
  );

  app.put(
    '/api/v1/questions/:id/ballot',
    {
      onRequest: (request) => request.jwtVerify(),
      schema: {
        params,
        body: {
          type: 'object',
          required: ['choice_ids'],
          properties: { choice_ids: { type: 'array', items: uuid, minItems: 1, maxItems: 1 } },
        },
        response: { '2xx': ballot },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const [choice] = request.body.choice_ids;
      const now = new Date().toISOString();
      const status = cast(request.user.sub, id, choice, now);
      if (status >= 400) return reply.code(status).send({ code: 'refused' });
      const [voted] = questionsOf(sql.question.all(id));
      return reply.code(status).send({
        question_id: id,
        choice_ids: [choice],
        cast_at: now,
        updated_at: now,
        results: resultsOf(voted),
      });
    },
  );

  app.post('/api/v1/auth/token', async (request, reply) => {
    const { grant_type, username, password } = request.body;
    const account = sql.account.get(username);
    if (grant_type !== 'password' || !account || !(await verify(account.password_hash, password))) {
      return reply.code(400).send({ error: 'invalid_grant' });
    }
    const refresh_token = randomBytes(32).toString('base64url');
    const hash = createHash('sha256').update(refresh_token).digest('hex');
    const expires = new Date(Date.now() + 30 * 24 * 3600 * 1000).toISOString();
    sql.remember.run(hash, account.id, expires);
    const access_token = app.jwt.sign({ sub: account.id });
    return { access_token, token_type: 'Bearer', expires_in: 900, refresh_token };
  });

  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
}

if (cluster.isPrimary) {
  for (let process = 0; process < PROCESSES; process++) cluster.fork();
} else {
  await serve();
}
