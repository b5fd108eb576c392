-- Copper Lane Salon: schema and first data. tools.py makes salon.sqlite of it.
CREATE TABLE clock (now TEXT NOT NULL);  -- what the tools take for the present time
INSERT INTO clock VALUES ('2027-03-09 08:30');  -- a Tuesday

CREATE TABLE services (name TEXT PRIMARY KEY, minutes INTEGER NOT NULL, price_usd REAL NOT NULL);
INSERT INTO services VALUES
  ('haircut', 45, 52), ('short haircut', 30, 34), ('kids'' haircut', 30, 26), ('beard trim', 30, 19),
  ('blow-dry', 45, 38), ('root color', 90, 84), ('full color', 120, 118), ('highlights', 150, 146),
  ('manicure', 45, 33), ('pedicure', 60, 47), ('bridal styling', 90, 135);

CREATE TABLE hours (weekday INTEGER PRIMARY KEY, opens TEXT NOT NULL, closes TEXT NOT NULL);  -- 0 is Monday
INSERT INTO hours VALUES (1, '09:00', '17:00'), (2, '09:00', '17:00'), (3, '09:00', '19:00'), (4, '09:00', '19:00'),
  (5, '09:00', '16:00');

CREATE TABLE stylists (name TEXT PRIMARY KEY, weekdays TEXT NOT NULL);
INSERT INTO stylists VALUES ('Rosa', '12345'), ('Dana', '1234'), ('Milo', '2345'), ('Ines', '1345');

CREATE TABLE skills (stylist TEXT NOT NULL REFERENCES stylists, service TEXT NOT NULL REFERENCES services,
  PRIMARY KEY (stylist, service));
INSERT INTO skills VALUES
  ('Rosa', 'haircut'), ('Rosa', 'short haircut'), ('Rosa', 'kids'' haircut'), ('Rosa', 'blow-dry'),
  ('Rosa', 'root color'), ('Rosa', 'full color'), ('Rosa', 'bridal styling'),
  ('Dana', 'haircut'), ('Dana', 'kids'' haircut'), ('Dana', 'blow-dry'), ('Dana', 'full color'),
  ('Dana', 'highlights'),
  ('Milo', 'haircut'), ('Milo', 'short haircut'), ('Milo', 'kids'' haircut'), ('Milo', 'beard trim'),
  ('Ines', 'manicure'), ('Ines', 'pedicure');

CREATE TABLE days_off (stylist TEXT NOT NULL REFERENCES stylists, day TEXT NOT NULL, PRIMARY KEY (stylist, day));
INSERT INTO days_off VALUES ('Ines', '2027-03-19'), ('Dana', '2027-03-18');

CREATE TABLE bookings (id INTEGER PRIMARY KEY, service TEXT NOT NULL REFERENCES services,
  stylist TEXT NOT NULL REFERENCES stylists, day TEXT NOT NULL, time TEXT NOT NULL, name TEXT NOT NULL,
  phone TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'booked', fee_usd REAL NOT NULL DEFAULT 0);
INSERT INTO bookings (id, service, stylist, day, time, name, phone) VALUES
  (1001, 'haircut', 'Rosa', '2027-03-12', '10:00', 'Ann Becker', '555-0101'),
  (1002, 'highlights', 'Dana', '2027-03-12', '13:00', 'Priya Nair', '555-0102'),
  (1003, 'manicure', 'Ines', '2027-03-13', '09:30', 'Priya Nair', '555-0102'),
  (1004, 'haircut', 'Dana', '2027-03-09', '16:00', 'Tom Ruiz', '555-0103'),
  (1005, 'pedicure', 'Ines', '2027-03-18', '11:00', 'Lena Fox', '555-0104'),
  (1006, 'full color', 'Rosa', '2027-03-17', '09:30', 'Marta Kline', '555-0105'),
  (1007, 'short haircut', 'Milo', '2027-03-20', '12:00', 'Sam Ortiz', '555-0106'),
  (1008, 'bridal styling', 'Rosa', '2027-03-20', '09:00', 'Jo Hale', '555-0107'),
  (1009, 'beard trim', 'Milo', '2027-03-11', '17:00', 'Ben Osei', '555-0108'),
  (1010, 'blow-dry', 'Rosa', '2027-03-09', '11:00', 'Ida Moss', '555-0109');

CREATE TABLE gift_cards (id INTEGER PRIMARY KEY, amount_usd REAL NOT NULL, email TEXT NOT NULL, sold TEXT NOT NULL,
  valid_until TEXT NOT NULL, void INTEGER NOT NULL DEFAULT 0);
INSERT INTO gift_cards VALUES (501, 60, 'ann.becker@example.com', '2027-02-13', '2030-02-13', 0);

CREATE TABLE messages (id INTEGER PRIMARY KEY, name TEXT NOT NULL, phone TEXT NOT NULL, message TEXT NOT NULL,
  at TEXT NOT NULL);

CREATE TABLE writes (key TEXT NOT NULL UNIQUE, tool TEXT NOT NULL, result TEXT NOT NULL);  -- a repeated key does nothing
