-- The database of Larkfield Clinics, a fictional group. `tools.py` runs this file when clinic.sqlite is missing.
-- today() is the day of the example (see tools.py). Days are offsets from it, or from the first Monday that is not
-- before it ('weekday 1'), so that the same day always gives the same rows.
BEGIN IMMEDIATE;

CREATE TABLE IF NOT EXISTS locations (
    name TEXT PRIMARY KEY, address TEXT NOT NULL, phone TEXT NOT NULL, weekdays TEXT NOT NULL, saturday TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS zips (zip TEXT PRIMARY KEY, location TEXT NOT NULL REFERENCES locations, miles REAL NOT NULL);
CREATE TABLE IF NOT EXISTS doctors (name TEXT PRIMARY KEY, specialty TEXT NOT NULL, location TEXT NOT NULL REFERENCES locations);
CREATE TABLE IF NOT EXISTS hours (  -- a visit can begin every 30 minutes from start to before stop; weekday 1 is Monday
    doctor TEXT NOT NULL REFERENCES doctors, weekday INTEGER NOT NULL, start TEXT NOT NULL, stop TEXT NOT NULL,
    PRIMARY KEY (doctor, weekday));
CREATE TABLE IF NOT EXISTS away (doctor TEXT NOT NULL REFERENCES doctors, day TEXT NOT NULL, PRIMARY KEY (doctor, day));
CREATE TABLE IF NOT EXISTS services (
    name TEXT PRIMARY KEY, specialty TEXT NOT NULL, price_usd INTEGER NOT NULL, specialist INTEGER NOT NULL,
    preparation TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS plans (  -- either copays or a share of the price; location is the only one that accepts it
    name TEXT PRIMARY KEY, accepted INTEGER NOT NULL, location TEXT, copay_usd INTEGER, specialist_copay_usd INTEGER,
    share REAL, referral INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS patients (
    number TEXT PRIMARY KEY, name TEXT NOT NULL, birth_date TEXT NOT NULL, guardian TEXT REFERENCES patients,
    plan TEXT NOT NULL REFERENCES plans, phone TEXT NOT NULL, email TEXT NOT NULL, address TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS medications (
    patient TEXT NOT NULL REFERENCES patients, name TEXT NOT NULL, refills INTEGER NOT NULL,
    controlled INTEGER NOT NULL, PRIMARY KEY (patient, name));
CREATE TABLE IF NOT EXISTS visits (
    number TEXT PRIMARY KEY, patient TEXT NOT NULL REFERENCES patients, doctor TEXT NOT NULL REFERENCES doctors,
    service TEXT NOT NULL REFERENCES services, day TEXT NOT NULL, time TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'booked', fee_usd INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX IF NOT EXISTS one_patient_a_time ON visits (doctor, day, time) WHERE status = 'booked';
CREATE TABLE IF NOT EXISTS record_requests (
    number TEXT PRIMARY KEY, patient TEXT NOT NULL REFERENCES patients, records TEXT NOT NULL, delivery TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refill_requests (
    number TEXT PRIMARY KEY, patient TEXT NOT NULL REFERENCES patients, medication TEXT NOT NULL, pharmacy TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (  -- each write leaves its key here, so that the same key changes nothing a second time
    key TEXT, tool TEXT NOT NULL, result TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS one_call_a_key ON calls (key);

INSERT OR IGNORE INTO locations VALUES
    ('Center', '12 Market Street, Larkfield', '555-0110', '8 am to 5 pm', 'closed'),
    ('Harbor', '48 Pier Road, Larkfield', '555-0120', '9 am to 6 pm', '9 am to 11 am'),
    ('Hilltop', '301 Orchard Lane, Upper Larkfield', '555-0130', '8 am to 4 pm', 'closed');

INSERT OR IGNORE INTO zips VALUES
    ('00211', 'Center', 0.6), ('00212', 'Center', 1.8), ('00213', 'Center', 2.5), ('00221', 'Harbor', 0.9),
    ('00222', 'Harbor', 2.2), ('00223', 'Harbor', 4.1), ('00231', 'Hilltop', 1.1), ('00232', 'Hilltop', 3.4);

INSERT OR IGNORE INTO doctors VALUES
    ('Dr. Ines Okafor', 'family medicine', 'Center'),
    ('Dr. Paul Berg', 'family medicine', 'Center'),
    ('Dr. Hana Suzuki', 'dermatology', 'Center'),
    ('Dr. Luis Ferrer', 'cardiology', 'Center'),
    ('Dr. Maya Lindqvist', 'pediatrics', 'Harbor'),
    ('Dr. Omar Haddad', 'family medicine', 'Harbor'),
    ('Dr. Ruth Abara', 'women''s health', 'Harbor'),
    ('Dr. Clara Berg', 'pediatrics', 'Hilltop'),
    ('Dr. Lena Haddad', 'family medicine', 'Hilltop'),
    ('Tessa Moran', 'physical therapy', 'Hilltop');

INSERT OR IGNORE INTO hours VALUES
    ('Dr. Ines Okafor', 1, '09:00', '12:00'), ('Dr. Ines Okafor', 2, '09:00', '12:00'),
    ('Dr. Ines Okafor', 3, '09:00', '12:00'), ('Dr. Ines Okafor', 4, '09:00', '12:00'),
    ('Dr. Paul Berg', 1, '13:00', '16:00'), ('Dr. Paul Berg', 3, '13:00', '16:00'), ('Dr. Paul Berg', 5, '13:00', '16:00'),
    ('Dr. Hana Suzuki', 2, '09:00', '12:00'), ('Dr. Hana Suzuki', 4, '09:00', '12:00'),
    ('Dr. Luis Ferrer', 3, '09:00', '12:00'), ('Dr. Luis Ferrer', 5, '09:00', '12:00'),
    ('Dr. Maya Lindqvist', 1, '09:00', '12:00'), ('Dr. Maya Lindqvist', 2, '09:00', '12:00'),
    ('Dr. Maya Lindqvist', 4, '09:00', '12:00'),
    ('Dr. Omar Haddad', 2, '13:00', '16:00'), ('Dr. Omar Haddad', 4, '13:00', '16:00'),
    ('Dr. Omar Haddad', 6, '09:00', '11:00'),
    ('Dr. Ruth Abara', 1, '10:00', '13:00'), ('Dr. Ruth Abara', 3, '10:00', '13:00'),
    ('Dr. Clara Berg', 2, '13:00', '16:00'), ('Dr. Clara Berg', 3, '13:00', '16:00'), ('Dr. Clara Berg', 5, '13:00', '16:00'),
    ('Dr. Lena Haddad', 1, '08:00', '10:00'), ('Dr. Lena Haddad', 2, '08:00', '10:00'),
    ('Dr. Lena Haddad', 3, '08:00', '10:00'), ('Dr. Lena Haddad', 4, '08:00', '10:00'),
    ('Dr. Lena Haddad', 5, '08:00', '10:00'),
    ('Tessa Moran', 1, '09:00', '12:00'), ('Tessa Moran', 3, '09:00', '12:00'), ('Tessa Moran', 5, '09:00', '12:00');

INSERT OR IGNORE INTO away VALUES
    ('Dr. Hana Suzuki', date(today(), 'weekday 1', '+1 days')), ('Dr. Hana Suzuki', date(today(), 'weekday 1', '+3 days')),
    ('Dr. Luis Ferrer', date(today(), 'weekday 1', '+2 days')), ('Dr. Luis Ferrer', date(today(), 'weekday 1', '+4 days'));

INSERT OR IGNORE INTO services VALUES
    ('check-up', 'family medicine', 140, 0, 'a list of medications'),
    ('sick visit', 'family medicine', 120, 0, 'a mask for coughs'),
    ('child visit', 'pediatrics', 110, 0, 'the vaccination card'),
    ('skin check', 'dermatology', 160, 1, 'no make-up or nail polish'),
    ('heart check', 'cardiology', 240, 1, 'no coffee on that day'),
    ('women''s health visit', 'women''s health', 150, 0, 'nothing'),
    ('physical therapy', 'physical therapy', 95, 1, 'loose clothes'),
    ('flu shot', 'family medicine', 35, 0, 'a short-sleeved shirt'),
    ('vaccination', 'family medicine', 60, 0, 'the vaccination card'),
    ('blood test', 'family medicine', 55, 0, 'no food for 8 hours'),
    ('video visit', 'family medicine', 70, 0, 'the link comes by e-mail');

INSERT OR IGNORE INTO plans VALUES
    ('Bluewater PPO', 1, NULL, 25, 45, NULL, 0),
    ('Bluewater HMO', 1, NULL, 15, 30, NULL, 1),
    ('Cedar Gold', 1, NULL, NULL, NULL, 0.1, 0),
    ('Cedar Silver', 1, NULL, NULL, NULL, 0.3, 0),
    ('Medistate', 1, NULL, 5, 5, NULL, 0),
    ('Unionwell', 1, 'Harbor', 20, 40, NULL, 0),
    ('Northline', 0, NULL, NULL, NULL, NULL, 0),
    ('uninsured', 0, NULL, NULL, NULL, NULL, 0);

INSERT OR IGNORE INTO patients VALUES
    ('P1001', 'Ana Reyes', '1988-04-12', NULL, 'Bluewater PPO', '555-0161', 'ana.reyes@example.com', '5 Elm Court'),
    ('P1002', 'Tom Whitaker', '1961-09-30', NULL, 'Cedar Gold', '555-0162', 'tom.whitaker@example.com', '77 Mill Road'),
    ('P1004', 'Julia Castellano', '1985-01-22', NULL, 'Medistate', '555-0164', 'julia.c@example.com', '9 Dock Street'),
    ('P1003', 'Mia Castellano', '2018-06-05', 'P1004', 'Medistate', '555-0164', 'julia.c@example.com', '9 Dock Street'),
    ('P1005', 'Samir Patel', '1994-11-03', NULL, 'Bluewater HMO', '555-0165', 'samir.patel@example.com', '21 Hill Way'),
    ('P1006', 'Grace Kim', '1979-07-19', NULL, 'Unionwell', '555-0166', 'grace.kim@example.com', '3 Quay Lane'),
    ('P1007', 'Peter Novak', '1970-02-14', NULL, 'uninsured', '555-0167', 'peter.novak@example.com', '14 Ash Street'),
    ('P1008', 'Maria Lopez', '1990-03-08', NULL, 'Cedar Silver', '555-0168', 'maria.lopez90@example.com', '60 Market Street'),
    ('P1009', 'Maria Lopez', '1972-12-01', NULL, 'Northline', '555-0169', 'm.lopez@example.com', '8 Birch Lane'),
    ('P1010', 'Daniel Osei', '2001-05-27', NULL, 'Bluewater PPO', '555-0170', 'daniel.osei@example.com', '33 Pier Road'),
    ('P1011', 'Helen Fraser', '1948-08-16', NULL, 'Cedar Gold', '555-0171', 'helen.fraser@example.com', '2 Church Row'),
    ('P1012', 'Leo Kim', '2015-10-10', 'P1006', 'Unionwell', '555-0166', 'grace.kim@example.com', '3 Quay Lane');

INSERT OR IGNORE INTO medications VALUES
    ('P1001', 'lisinopril', 2, 0), ('P1002', 'atorvastatin', 3, 0), ('P1002', 'zolpidem', 1, 1),
    ('P1005', 'albuterol', 1, 0), ('P1006', 'levothyroxine', 0, 0), ('P1007', 'omeprazole', 4, 0),
    ('P1011', 'metformin', 5, 0), ('P1011', 'warfarin', 2, 0);

INSERT OR IGNORE INTO visits (number, patient, doctor, service, day, time, status) VALUES
    ('V1001', 'P1001', 'Dr. Hana Suzuki', 'skin check', date(today(), 'weekday 1', '+8 days'), '10:00', 'booked'),
    ('V1002', 'P1002', 'Dr. Luis Ferrer', 'heart check', date(today(), 'weekday 1', '+9 days'), '09:30', 'booked'),
    ('V1003', 'P1003', 'Dr. Maya Lindqvist', 'child visit', date(today(), 'weekday 1', '+3 days'), '09:00', 'booked'),
    ('V1004', 'P1005', 'Tessa Moran', 'physical therapy', date(today(), 'weekday 1', '+4 days'), '11:00', 'booked'),
    ('V1005', 'P1006', 'Dr. Omar Haddad', 'check-up', date(today(), 'weekday 1', '+10 days'), '14:00', 'booked'),
    ('V1006', 'P1006', 'Dr. Ruth Abara', 'women''s health visit', date(today(), 'weekday 1', '+14 days'), '10:30', 'booked'),
    ('V1007', 'P1008', 'Dr. Ines Okafor', 'check-up', date(today(), '+1 days'), '09:30', 'booked'),
    ('V1008', 'P1011', 'Dr. Ines Okafor', 'blood test', date(today(), 'weekday 1', '+2 days'), '09:00', 'booked'),
    ('V1009', 'P1011', 'Dr. Luis Ferrer', 'heart check', date(today(), 'weekday 1', '+11 days'), '10:00', 'booked'),
    ('V1010', 'P1010', 'Dr. Paul Berg', 'sick visit', date(today(), 'weekday 1', '-7 days'), '13:30', 'done'),
    ('V1011', 'P1012', 'Dr. Clara Berg', 'child visit', date(today(), 'weekday 1', '+8 days'), '13:30', 'booked');

COMMIT;
