-- The graph of one repository snapshot. The extract stage writes it; everything else reads it.
-- Rows are sorted before they are inserted, so equal sources give equal bytes.
-- The commit is not in here: a new commit with the same files gives the same graph.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Every file that the source listed; status: parsed | skipped | failed, with the reason.
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE,
  blob TEXT NOT NULL,                 -- SHA-256 of the content
  language TEXT NOT NULL,             -- '' where none of ours
  bytes INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL,               -- TooLarge, Minified, Generated, Binary, Timeout, Unsupported ...
  content BLOB                        -- zlib; NULL unless parsed, or a licence or documentation file
);

-- kind: what the parser saw: module class interface enum function method variable constant exception
--       external. type: the meaning, '' until the brain has decided (see NodeType).
CREATE TABLE nodes (
  id INTEGER PRIMARY KEY,
  type TEXT NOT NULL DEFAULT '',
  name TEXT NOT NULL,
  path TEXT NOT NULL,                 -- '' for an external symbol
  kind TEXT NOT NULL,
  qualified_name TEXT NOT NULL,       -- dotted, real: pkg.module.Class.method; not unique (overloads)
  language TEXT NOT NULL,
  start_line INTEGER NOT NULL,        -- from 1; 0 for an external symbol
  end_line INTEGER NOT NULL,
  signature TEXT NOT NULL,            -- the source's own bytes, white space folded; '' if none
  docstring TEXT NOT NULL,
  visibility TEXT NOT NULL,           -- public | protected | private
  parent INTEGER REFERENCES nodes (id),
  start_byte INTEGER NOT NULL,
  end_byte INTEGER NOT NULL,
  name_start INTEGER NOT NULL,        -- bytes of the name itself
  name_end INTEGER NOT NULL,
  value TEXT NOT NULL,                -- source text of a constant's value; '' if none
  returns TEXT NOT NULL,              -- source text of the return type; '' if none
  decorators TEXT NOT NULL            -- JSON list of source texts
);

CREATE TABLE parameters (
  node INTEGER NOT NULL REFERENCES nodes (id),
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  annotation TEXT NOT NULL,
  default_value TEXT NOT NULL,
  start_byte INTEGER NOT NULL,
  end_byte INTEGER NOT NULL,
  PRIMARY KEY (node, position)
) WITHOUT ROWID;

-- relationship: defines calls imports extends implements overrides raises instantiates tests
-- conf in 0..1 and the rule that made the edge; never a guess.
CREATE TABLE edges (
  src INTEGER NOT NULL REFERENCES nodes (id),
  dst INTEGER NOT NULL REFERENCES nodes (id),
  relationship TEXT NOT NULL,
  path TEXT NOT NULL,
  line INTEGER NOT NULL,
  rule TEXT NOT NULL,
  conf REAL NOT NULL,
  start_byte INTEGER NOT NULL,        -- bytes of the reference in `path`
  end_byte INTEGER NOT NULL
);

-- A reference that no rule resolved, with the reason; together with edges: every reference.
CREATE TABLE refs_unresolved (
  src INTEGER NOT NULL REFERENCES nodes (id),
  name TEXT NOT NULL,
  relationship TEXT NOT NULL,
  path TEXT NOT NULL,
  line INTEGER NOT NULL,
  reason TEXT NOT NULL,
  start_byte INTEGER NOT NULL,
  end_byte INTEGER NOT NULL
);

-- What raises: the exception as written, its message literal and the condition around it.
CREATE TABLE raise_sites (
  node INTEGER NOT NULL REFERENCES nodes (id),
  exception TEXT NOT NULL,
  message TEXT NOT NULL,              -- text of the first string literal; '' if none
  condition TEXT NOT NULL,            -- source text of the nearest enclosing if; '' if none
  path TEXT NOT NULL,
  line INTEGER NOT NULL,
  start_byte INTEGER NOT NULL,
  end_byte INTEGER NOT NULL
);

-- Further things that the source states of a node. key: reads_env (value: variable's name),
-- route (value: 'GET /path' or a command's name), entry_point (value: '__main__', 'main').
CREATE TABLE attributes (
  node INTEGER NOT NULL REFERENCES nodes (id),
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  path TEXT NOT NULL,
  line INTEGER NOT NULL,
  start_byte INTEGER NOT NULL,
  end_byte INTEGER NOT NULL
);

CREATE INDEX nodes_by_name ON nodes (name);
CREATE INDEX nodes_by_qualified_name ON nodes (qualified_name);
CREATE INDEX edges_by_src ON edges (src, relationship);
CREATE INDEX edges_by_dst ON edges (dst, relationship);
