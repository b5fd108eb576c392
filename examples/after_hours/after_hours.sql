-- Harbor Row Property Management: schema and first data. tools.py makes after_hours.sqlite of it.
CREATE TABLE clock (now TEXT NOT NULL);  -- what the tools take for the present time
INSERT INTO clock VALUES ('2027-02-05 21:40');  -- a Friday

CREATE TABLE tenants (phone TEXT PRIMARY KEY, name TEXT NOT NULL, building TEXT NOT NULL, unit TEXT NOT NULL,
  email TEXT NOT NULL);
INSERT INTO tenants VALUES
  ('555-0211', 'Alma Reyes', 'Harbor Row', '3C', 'alma.reyes@example.com'),
  ('555-0212', 'Boris Klein', 'Harbor Row', '5A', 'boris.klein@example.com'),
  ('555-0213', 'Cora Singh', 'Mill Court', '2B', 'cora.singh@example.com'),
  ('555-0214', 'Dev Malik', 'Mill Court', '4B', 'dev.malik@example.com'),
  ('555-0215', 'Edna Shaw', 'Elm House', '1A', 'edna.shaw@example.com'),
  ('555-0216', 'Finn Doyle', 'Elm House', '3B', 'finn.doyle@example.com'),
  ('555-0217', 'Gwen Tran', 'Mill Court', '1A', 'gwen.tran@example.com'),
  ('555-0218', 'Hal Novak', 'Harbor Row', '2D', 'hal.novak@example.com');

CREATE TABLE rota (trade TEXT NOT NULL, starts TEXT NOT NULL, ends TEXT NOT NULL, company TEXT NOT NULL,
  person TEXT NOT NULL, phone TEXT NOT NULL, callout_usd REAL NOT NULL, PRIMARY KEY (trade, starts));
INSERT INTO rota VALUES
  ('plumbing', '2027-02-01', '2027-02-07', 'Brightwater Plumbing', 'Nadia Cole', '555-0231', 180),
  ('plumbing', '2027-02-08', '2027-02-14', 'Brightwater Plumbing', 'Jon Park', '555-0236', 180),
  ('heating', '2027-02-01', '2027-02-07', 'Northside Heating', 'Omar Vance', '555-0232', 210),
  ('heating', '2027-02-08', '2027-02-14', 'Northside Heating', 'Lise Roth', '555-0237', 210),
  ('electrical', '2027-02-01', '2027-02-14', 'Volt & Daughters', 'Petra Volt', '555-0233', 195),
  ('locks', '2027-02-01', '2027-02-14', 'Quick Key', 'Sid Marsh', '555-0234', 75),
  ('elevator', '2027-02-01', '2027-02-14', 'Ascent Elevators', 'Tora Lind', '555-0235', 420);

CREATE TABLE tickets (id INTEGER PRIMARY KEY, phone TEXT NOT NULL REFERENCES tenants, trade TEXT NOT NULL,
  description TEXT NOT NULL, severity TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'open', opened TEXT NOT NULL);
INSERT INTO tickets VALUES
  (301, '555-0211', 'plumbing', 'Kitchen drain is slow', 'routine', 'open', '2027-02-03 19:05'),
  (302, '555-0213', 'heating', 'No heat in bedroom', 'routine', 'open', '2027-02-05 18:20'),
  (303, '555-0213', 'locks', 'Mailbox lock is stiff', 'routine', 'open', '2027-02-04 20:15'),
  (304, '555-0215', 'elevator', 'Elevator stops between floors', 'urgent', 'open', '2027-02-05 19:30'),
  (305, '555-0216', 'electrical', 'Hall light flickers', 'routine', 'open', '2027-02-01 22:00'),
  (306, '555-0212', 'plumbing', 'Bathroom tap drips', 'routine', 'closed', '2027-01-28 18:45');

CREATE TABLE notes (id INTEGER PRIMARY KEY, ticket INTEGER NOT NULL REFERENCES tickets, note TEXT NOT NULL,
  at TEXT NOT NULL);
INSERT INTO notes VALUES (1, 305, 'Bulb was changed, it still flickers', '2027-02-02 09:10');

CREATE TABLE pages (id INTEGER PRIMARY KEY, ticket INTEGER NOT NULL REFERENCES tickets, company TEXT NOT NULL,
  phone TEXT NOT NULL, cost_usd REAL NOT NULL, at TEXT NOT NULL);

CREATE TABLE outbox (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, recipient TEXT NOT NULL, subject TEXT NOT NULL,
  body TEXT NOT NULL, at TEXT NOT NULL);  -- calls and e-mails, for the telephone system and the mail server

CREATE TABLE filed (id INTEGER PRIMARY KEY, sender TEXT NOT NULL, category TEXT NOT NULL, summary TEXT NOT NULL,
  at TEXT NOT NULL);  -- e-mails that came in

CREATE TABLE writes (key TEXT NOT NULL UNIQUE, tool TEXT NOT NULL, result TEXT NOT NULL);  -- a repeated key does nothing
