CREATE TABLE users (
    id {id} PRIMARY KEY,
    name {text} NOT NULL,
    email {text} NOT NULL UNIQUE,
    password_hash {text} NOT NULL
){end};
CREATE TABLE questions (
    id {id} PRIMARY KEY,
    author_id {id} NOT NULL REFERENCES users (id),
    question_text {text} NOT NULL,
    closed_at {time},
    ballot_count bigint NOT NULL DEFAULT 0,
    created_at {time} NOT NULL,
    updated_at {time} NOT NULL
){end};
CREATE INDEX questions_created ON questions (created_at, id);
CREATE TABLE choices (
    id {id} PRIMARY KEY,
    question_id {id} NOT NULL REFERENCES questions (id),
    choice_text {text} NOT NULL,
    position integer NOT NULL,
    votes bigint NOT NULL DEFAULT 0
){end};
CREATE INDEX choices_question ON choices (question_id, position);
CREATE TABLE ballots (
    question_id {id} NOT NULL REFERENCES questions (id),
    user_id {id} NOT NULL REFERENCES users (id),
    choice_id {id} NOT NULL REFERENCES choices (id),
    cast_at {time} NOT NULL,
    updated_at {time} NOT NULL,
    PRIMARY KEY (question_id, user_id)
){end};
CREATE TABLE refresh_tokens (
    token_hash {id64} PRIMARY KEY,
    user_id {id} NOT NULL REFERENCES users (id),
    expires_at {time} NOT NULL
){end};
