"""FastAPI + asyncpg on PostgreSQL. Environment: DATABASE_URL, JWT_SECRET."""

import hashlib
import os
import secrets
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Annotated
from uuid import UUID

import argon2
import asyncpg
import jwt
from fastapi import Depends, FastAPI, Form, HTTPException, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

SECRET = os.environ["JWT_SECRET"]
HASHER = argon2.PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)

QUESTION = """
SELECT q.id, q.question_text, q.closed_at, q.ballot_count, q.created_at, q.updated_at,
       u.id AS author_id, u.name, c.id AS choice_id, c.choice_text, c.position, c.votes
FROM questions q JOIN users u ON u.id = q.author_id JOIN choices c ON c.question_id = q.id
WHERE q.id = $1 ORDER BY c.position
"""
QUESTIONS = """
SELECT q.id, q.question_text, q.closed_at, q.ballot_count, q.created_at, q.updated_at,
       u.id AS author_id, u.name, c.id AS choice_id, c.choice_text, c.position, c.votes
FROM (SELECT * FROM questions ORDER BY created_at DESC, id DESC LIMIT $1) q
JOIN users u ON u.id = q.author_id JOIN choices c ON c.question_id = q.id
ORDER BY q.created_at DESC, q.id DESC, c.position
"""


class Author(BaseModel):
    id: UUID
    name: str


class Choice(BaseModel):
    id: UUID
    choice_text: str
    position: int
    votes: int


class Question(BaseModel):
    id: UUID
    question_text: str
    author: Author
    choices: list[Choice]
    min_choices: int = 1
    max_choices: int = 1
    allow_change: bool = True
    results_visibility: str = "always"
    status: str
    ballot_count: int
    revision: int = 1
    created_at: datetime
    updated_at: datetime


class QuestionPage(BaseModel):
    data: list[Question]
    meta: dict = {}


class ChoiceResults(BaseModel):
    id: UUID
    choice_text: str
    votes: int
    share: float


class Results(BaseModel):
    question_id: UUID
    ballot_count: int
    choices: list[ChoiceResults]
    leading_choice_ids: list[UUID]
    is_final: bool
    as_of: datetime


class NewBallot(BaseModel):
    choice_ids: Annotated[list[UUID], Field(min_length=1, max_length=1)]


class Ballot(BaseModel):
    question_id: UUID
    choice_ids: list[UUID]
    cast_at: datetime
    updated_at: datetime
    results: Results


class Tokens(BaseModel):
    access_token: str
    token_type: str = "Bearer"
    expires_in: int = 900
    refresh_token: str


@asynccontextmanager
async def lifespan(app):
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=20)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)
Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


async def signed_in(credentials: Bearer) -> UUID:
    try:
        claims = jwt.decode(
            credentials.credentials, SECRET, algorithms=["HS256"], audience="polls", issuer="polls"
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None
    return UUID(claims["sub"])


SignedIn = Annotated[UUID, Depends(signed_in)]


def questions_of(rows):
    questions = {}
    for row in rows:
        question = questions.get(row["id"])
        if question is None:
            question = questions[row["id"]] = Question(
                id=row["id"],
                question_text=row["question_text"],
                author=Author(id=row["author_id"], name=row["name"]),
                choices=[],
                status="closed" if row["closed_at"] else "open",
                ballot_count=row["ballot_count"],
                created_at=row["created_at"],
                updated_at=row["updated_at"],
            )
        question.choices.append(
            Choice(
                id=row["choice_id"],
                choice_text=row["choice_text"],
                position=row["position"],
                votes=row["votes"],
            )
        )
    return list(questions.values())


def results_of(question):
    count = question.ballot_count
    most = max(choice.votes for choice in question.choices)
    return Results(
        question_id=question.id,
        ballot_count=count,
        choices=[
            ChoiceResults(
                id=choice.id,
                choice_text=choice.choice_text,
                votes=choice.votes,
                share=round(choice.votes / count, 4) if count else 0,
            )
            for choice in question.choices
        ],
        leading_choice_ids=[
            choice.id for choice in question.choices if most and choice.votes == most
        ],
        is_final=question.status == "closed",
        as_of=datetime.now(timezone.utc),
    )


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}


@app.get("/api/v1/questions")
async def list_questions(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> QuestionPage:
    return QuestionPage(data=questions_of(await app.state.pool.fetch(QUESTIONS, limit)))


@app.get("/api/v1/questions/{question_id}")
async def read_question(question_id: UUID) -> Question:
    found = questions_of(await app.state.pool.fetch(QUESTION, question_id))
    if not found:
        raise HTTPException(404)
    return found[0]


@app.put("/api/v1/questions/{question_id}/ballot")
async def vote(question_id: UUID, ballot: NewBallot, user: SignedIn, response: Response) -> Ballot:
    (choice,) = ballot.choice_ids
    now = datetime.now(timezone.utc)
    async with app.state.pool.acquire() as connection:
        async with connection.transaction():
            # The hot row last, so that it is locked briefly.
            first = await connection.fetchval(
                "INSERT INTO ballots SELECT $1, $2, c.id, $4, $4 FROM choices c "
                "WHERE c.id = $3 AND c.question_id = $1 "
                "ON CONFLICT DO NOTHING RETURNING true",
                question_id, user, choice, now,
            )
            if first:
                await connection.execute("UPDATE choices SET votes = votes + 1 WHERE id = $1", choice)
                open_ = await connection.fetchval(
                    "UPDATE questions SET ballot_count = ballot_count + 1 "
                    "WHERE id = $1 AND closed_at IS NULL RETURNING true",
                    question_id,
                )
                if not open_:
                    raise HTTPException(409)
            else:
                await change(connection, question_id, user, choice, now)
        rows = await connection.fetch(QUESTION, question_id)
    response.status_code = 201 if first else 200
    return Ballot(
        question_id=question_id,
        choice_ids=[choice],
        cast_at=now,
        updated_at=now,
        results=results_of(questions_of(rows)[0]),
    )


async def change(connection, question_id, user, choice, now):
    before = await connection.fetchval(
        "SELECT choice_id FROM ballots WHERE question_id = $1 AND user_id = $2 FOR UPDATE",
        question_id, user,
    )
    if before is None:
        raise HTTPException(422)
    if before == choice:
        return
    if await connection.fetchval(
        "SELECT closed_at FROM questions WHERE id = $1 FOR UPDATE", question_id
    ):
        raise HTTPException(409)
    if not await connection.fetchval(
        "UPDATE choices SET votes = votes + 1 WHERE id = $1 AND question_id = $2 RETURNING true",
        choice, question_id,
    ):
        raise HTTPException(422)
    await connection.execute("UPDATE choices SET votes = votes - 1 WHERE id = $1", before)
    await connection.execute(
        "UPDATE ballots SET choice_id = $3, updated_at = $4 WHERE question_id = $1 AND user_id = $2",
        question_id, user, choice, now,
    )


@app.post("/api/v1/auth/token")
async def sign_in(
    grant_type: Annotated[str, Form()],
    username: Annotated[str, Form()],
    password: Annotated[str, Form()],
) -> Tokens:
    account = await app.state.pool.fetchrow(
        "SELECT id, password_hash FROM users WHERE email = $1", username
    )
    if grant_type != "password" or account is None:
        raise HTTPException(400)
    try:
        await run_in_threadpool(HASHER.verify, account["password_hash"], password)
    except argon2.exceptions.VerificationError:
        raise HTTPException(400) from None
    refresh_token, now = secrets.token_urlsafe(32), datetime.now(timezone.utc)
    await app.state.pool.execute(
        "INSERT INTO refresh_tokens VALUES ($1, $2, $3)",
        hashlib.sha256(refresh_token.encode()).hexdigest(), account["id"], now + timedelta(days=30),
    )
    claims = {
        "iss": "polls", "aud": "polls", "sub": str(account["id"]),
        "iat": now, "exp": now + timedelta(minutes=15),
    }
    return Tokens(
        access_token=jwt.encode(claims, SECRET, algorithm="HS256"), refresh_token=refresh_token
    )
