BEGIN;
INSERT INTO ballots SELECT :question::uuid, id, :choice::uuid, now(), now() FROM voters WHERE number = (SELECT nextval('voter'));
UPDATE choices SET votes = votes + 1 WHERE id = :choice::uuid;
UPDATE questions SET ballot_count = ballot_count + 1 WHERE id = :question::uuid AND closed_at IS NULL;
END;
