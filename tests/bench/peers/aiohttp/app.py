"""aiohttp + aiomysql on MariaDB. Environment: DATABASE_URL, JWT_SECRET."""

import asyncio
import hashlib
import os
import secrets
from datetime import datetime, timedelta, timezone
from urllib.parse import urlparse
from uuid import UUID

import aiomysql
import argon2
import jwt
import pymysql.err
from aiohttp import web

SECRET = os.environ["JWT_SECRET"]
DATABASE = urlparse(os.environ["DATABASE_URL"])
POOL = web.AppKey("pool", aiomysql.Pool)
HASHER = argon2.PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)

QUESTION = """
SELECT q.id, q.question_text, q.closed_at, q.ballot_count, q.created_at, q.updated_at,
       u.id, u.name, c.id, c.choice_text, c.position, c.votes
FROM questions q JOIN users u ON u.id = q.author_id JOIN choices c ON c.question_id = q.id
WHERE q.id = %s ORDER BY c.position
"""
QUESTIONS = """
SELECT q.id, q.question_text, q.closed_at, q.ballot_count, q.created_at, q.updated_at,
       u.id, u.name, c.id, c.choice_text, c.position, c.votes
FROM (SELECT * FROM questions ORDER BY created_at DESC, id DESC LIMIT %s) q
JOIN users u ON u.id = q.author_id JOIN choices c ON c.question_id = q.id
ORDER BY q.created_at DESC, q.id DESC, c.position
"""


def rfc3339(time):
    return time.isoformat() + "Z"


def questions_of(rows):
    questions = {}
    for row in rows:
        question = questions.get(row[0])
        if question is None:
            question = questions[row[0]] = {
                "id": row[0],
                "question_text": row[1],
                "author": {"id": row[6], "name": row[7]},
                "choices": [],
                "min_choices": 1,
                "max_choices": 1,
                "allow_change": True,
                "results_visibility": "always",
                "status": "closed" if row[2] else "open",
                "ballot_count": row[3],
                "revision": 1,
                "created_at": rfc3339(row[4]),
                "updated_at": rfc3339(row[5]),
            }
        question["choices"].append(
            {"id": row[8], "choice_text": row[9], "position": row[10], "votes": row[11]}
        )
    return list(questions.values())


def results_of(question):
    count = question["ballot_count"]
    most = max(choice["votes"] for choice in question["choices"])
    return {
        "question_id": question["id"],
        "ballot_count": count,
        "choices": [
            {
                "id": choice["id"],
                "choice_text": choice["choice_text"],
                "votes": choice["votes"],
                "share": round(choice["votes"] / count, 4) if count else 0,
            }
            for choice in question["choices"]
        ],
        "leading_choice_ids": [
            choice["id"] for choice in question["choices"] if most and choice["votes"] == most
        ],
        "is_final": question["status"] == "closed",
        "as_of": rfc3339(now()),
    }


def now():
    return datetime.now(timezone.utc).replace(tzinfo=None)


def problem(status, code):
    return web.json_response(
        {"status": status, "code": code}, status=status, content_type="application/problem+json"
    )


def path_id(request):
    try:
        return str(UUID(request.match_info["id"]))
    except ValueError:
        raise web.HTTPBadRequest from None


def signed_in(request):
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise web.HTTPUnauthorized
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="polls", issuer="polls")
    except jwt.InvalidTokenError:
        raise web.HTTPUnauthorized from None
    return claims["sub"]


async def rows(pool, sql, *values):
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(sql, values)
        return await cursor.fetchall()


async def healthz(request):
    return web.json_response({"status": "ok"})


async def read_question(request):
    found = questions_of(await rows(request.app[POOL], QUESTION, path_id(request)))
    return web.json_response(found[0]) if found else problem(404, "not_found")


async def list_questions(request):
    limit = min(max(int(request.query.get("limit", 20)), 1), 100)
    found = questions_of(await rows(request.app[POOL], QUESTIONS, limit))
    return web.json_response({"data": found, "meta": {}})


async def vote(request):
    user, question = signed_in(request), path_id(request)
    try:
        (choice,) = (await request.json())["choice_ids"]
        choice = str(UUID(choice))
    except (KeyError, TypeError, ValueError, AttributeError):
        return problem(422, "invalid_fields")
    pool, time = request.app[POOL], now()
    async with pool.acquire() as connection:
        try:
            status = await first_ballot(connection, user, question, choice, time)
        except pymysql.err.IntegrityError:
            await connection.rollback()
            status = await another_ballot(connection, user, question, choice, time)
        if status >= 400:
            await connection.rollback()
            return problem(status, "refused")
        await connection.commit()
    (voted,) = questions_of(await rows(pool, QUESTION, question))
    ballot = {
        "question_id": question,
        "choice_ids": [choice],
        "cast_at": rfc3339(time),
        "updated_at": rfc3339(time),
        "results": results_of(voted),
    }
    return web.json_response(ballot, status=status)


async def first_ballot(connection, user, question, choice, time):
    # Counters first: the foreign keys' shared locks would make deadlocks of the other order.
    await connection.begin()
    async with connection.cursor() as cursor:
        if not await cursor.execute(
            "UPDATE questions SET ballot_count = ballot_count + 1 "
            "WHERE id = %s AND closed_at IS NULL",
            (question,),
        ):
            return 409
        if not await cursor.execute(
            "UPDATE choices SET votes = votes + 1 WHERE id = %s AND question_id = %s",
            (choice, question),
        ):
            return 422
        await cursor.execute(
            "INSERT INTO ballots VALUES (%s, %s, %s, %s, %s)", (question, user, choice, time, time)
        )
    return 201


async def another_ballot(connection, user, question, choice, time):
    await connection.begin()
    async with connection.cursor() as cursor:
        await cursor.execute(
            "SELECT closed_at FROM questions WHERE id = %s FOR UPDATE", (question,)
        )
        closed = (await cursor.fetchone())[0]
        await cursor.execute(
            "SELECT choice_id FROM ballots WHERE question_id = %s AND user_id = %s FOR UPDATE",
            (question, user),
        )
        before = (await cursor.fetchone())[0]
        if before == choice:
            return 200
        if closed:
            return 409
        if not await cursor.execute(
            "UPDATE choices SET votes = votes + 1 WHERE id = %s AND question_id = %s",
            (choice, question),
        ):
            return 422
        await cursor.execute("UPDATE choices SET votes = votes - 1 WHERE id = %s", (before,))
        await cursor.execute(
            "UPDATE ballots SET choice_id = %s, updated_at = %s "
            "WHERE question_id = %s AND user_id = %s",
            (choice, time, question, user),
        )
    return 200


async def sign_in(request):
    form = await request.post()
    pool = request.app[POOL]
    account = await rows(
        pool, "SELECT id, password_hash FROM users WHERE email = %s", form.get("username", "")
    )
    if form.get("grant_type") != "password" or not account:
        return web.json_response({"error": "invalid_grant"}, status=400)
    user, password_hash = account[0]
    try:
        await asyncio.to_thread(HASHER.verify, password_hash, form.get("password", ""))
    except argon2.exceptions.VerificationError:
        return web.json_response({"error": "invalid_grant"}, status=400)
    refresh_token, issued = secrets.token_urlsafe(32), now()
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await connection.begin()
        await cursor.execute(
            "INSERT INTO refresh_tokens VALUES (%s, %s, %s)",
            (hashlib.sha256(refresh_token.encode()).hexdigest(), user, issued + timedelta(days=30)),
        )
        await connection.commit()
    seconds = int(datetime.now(timezone.utc).timestamp())
    claims = {"iss": "polls", "aud": "polls", "sub": user, "iat": seconds, "exp": seconds + 900}
    return web.json_response(
        {
            "access_token": jwt.encode(claims, SECRET, algorithm="HS256"),
            "token_type": "Bearer",
            "expires_in": 900,
            "refresh_token": refresh_token,
        }
    )


async def with_pool(app):
    pool = await aiomysql.create_pool(
        host=DATABASE.hostname, port=DATABASE.port, user=DATABASE.username,
        db=DATABASE.path.strip("/"), minsize=1, maxsize=20, autocommit=True,
    )
    app[POOL] = pool
    yield
    pool.close()
    await pool.wait_closed()


app = web.Application()
app.cleanup_ctx.append(with_pool)
app.add_routes(
    [
        web.get("/healthz", healthz),
        web.get("/api/v1/questions", list_questions),
        web.get("/api/v1/questions/{id}", read_question),
        web.put("/api/v1/questions/{id}/ballot", vote),
        web.post("/api/v1/auth/token", sign_in),
    ]
)
