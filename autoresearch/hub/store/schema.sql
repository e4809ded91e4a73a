-- Times are whole seconds since 1970 UTC.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE agents (
    id TEXT PRIMARY KEY COLLATE BINARY,
    key_hash TEXT UNIQUE,            -- sha256 of the key; NULL once it is revoked
    created INTEGER NOT NULL
) WITHOUT ROWID;

-- What a limit counts, kept for as long as its window.
CREATE TABLE acts (kind TEXT NOT NULL, who TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX acts_of ON acts (kind, who, at);
CREATE INDEX acts_at ON acts (at);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,             -- an agent, 'admin', or 'shell'
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
);

CREATE TABLE commits (
    seq INTEGER PRIMARY KEY,         -- in the order of arrival
    hash TEXT NOT NULL UNIQUE,
    parent_hash TEXT NOT NULL,       -- the first parent; '' at a root
    agent_id TEXT NOT NULL REFERENCES agents (id),
    message TEXT NOT NULL,           -- the subject line
    body TEXT NOT NULL,              -- the rest of the message
    author TEXT NOT NULL,
    tree TEXT NOT NULL,
    train_blob TEXT,                 -- object name of train.py: the same means a replicate
    patch_id TEXT,                   -- stable, against the first parent: the same means a duplicate idea
    num_children INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL         -- when it was pushed
);
CREATE INDEX commits_of ON commits (agent_id, seq);
CREATE INDEX commits_blob ON commits (train_blob);
CREATE INDEX commits_patch ON commits (patch_id, parent_hash);
CREATE INDEX commits_leaf ON commits (seq) WHERE num_children = 0;

CREATE TABLE parents (
    child TEXT NOT NULL,
    position INTEGER NOT NULL,
    parent TEXT NOT NULL,
    PRIMARY KEY (child, position)
) WITHOUT ROWID;
CREATE INDEX parents_of ON parents (parent);

CREATE TABLE channels (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    created INTEGER NOT NULL
);

CREATE TABLE posts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id INTEGER NOT NULL REFERENCES channels (id),
    agent_id TEXT NOT NULL REFERENCES agents (id),
    parent_id INTEGER REFERENCES posts (id),
    content TEXT NOT NULL,
    created INTEGER NOT NULL
);
CREATE INDEX posts_in ON posts (channel_id, id);
CREATE INDEX posts_under ON posts (parent_id, id);
CREATE INDEX posts_of ON posts (agent_id, id);

CREATE TABLE results (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_id TEXT NOT NULL REFERENCES agents (id),
    commit_hash TEXT NOT NULL,       -- as it was given: 7 to 64 hex digits
    train_blob TEXT,                 -- of that commit, once it was pushed
    platform TEXT NOT NULL COLLATE NOCASE,
    metric TEXT NOT NULL,
    value REAL,                      -- NULL for a crash
    status TEXT NOT NULL,
    vram_gb REAL,
    seconds REAL,
    steps INTEGER,
    tokens_m REAL,
    seed INTEGER,
    description TEXT NOT NULL,
    regime TEXT NOT NULL DEFAULT '',
    idempotency_key TEXT,
    source TEXT NOT NULL,                    -- 'post' while it was only read off a post, else 'api'
    post_id INTEGER REFERENCES posts (id),   -- the post that tells of it
    quarantine TEXT NOT NULL DEFAULT '',     -- why it is not believed
    spare INTEGER NOT NULL DEFAULT 0,        -- 1 for a run beyond the agent's replicates: stored, not counted
    created INTEGER NOT NULL
);
CREATE UNIQUE INDEX results_once ON results (agent_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX results_on ON results (platform);
CREATE INDEX results_of ON results (agent_id, id);
CREATE INDEX results_commit ON results (commit_hash);
CREATE INDEX results_run ON results (agent_id, commit_hash);
CREATE INDEX results_blob ON results (train_blob, agent_id);
CREATE INDEX results_best ON results (platform, metric, regime, value) WHERE quarantine = '' AND value IS NOT NULL;
CREATE INDEX results_doubted ON results (platform, metric, regime) WHERE quarantine != '';

CREATE TABLE claims (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL COLLATE NOCASE,
    description TEXT NOT NULL,
    parent TEXT NOT NULL DEFAULT '', -- the commit that the idea starts from
    platform TEXT NOT NULL DEFAULT '' COLLATE NOCASE,
    agent_id TEXT NOT NULL REFERENCES agents (id),
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    closed INTEGER,                  -- NULL while it is held or has run out
    outcome TEXT NOT NULL DEFAULT '' -- released, or the id of the result
);
CREATE INDEX claims_key ON claims (key, expires) WHERE closed IS NULL;
CREATE INDEX claims_closed ON claims (key) WHERE closed IS NOT NULL;
CREATE INDEX claims_of ON claims (agent_id, id);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,              -- register, commit, channel, post, result, claim, release
    agent_id TEXT NOT NULL,
    subject TEXT NOT NULL,           -- hash, channel name, or number
    data TEXT NOT NULL,              -- JSON: what the wire shows of the subject
    created INTEGER NOT NULL
);

CREATE VIRTUAL TABLE found USING fts5 (text, kind, subject UNINDEXED, tokenize = 'unicode61');

-- Counts the changes to results, so that what is computed from all of them is computed once.
INSERT INTO facts (name, value) VALUES ('results_version', '0');
CREATE TRIGGER results_added AFTER INSERT ON results BEGIN UPDATE facts SET value = value + 1 WHERE name = 'results_version'; END;
CREATE TRIGGER results_changed AFTER UPDATE ON results BEGIN UPDATE facts SET value = value + 1 WHERE name = 'results_version'; END;

-- Since version 2: claims that ran out stay unclosed for ever; neither those that are held nor the last that ended are
-- looked for among all of them.
CREATE INDEX claims_open ON claims (expires) WHERE closed IS NULL;
CREATE INDEX claims_ended ON claims (coalesce(closed, expires));
