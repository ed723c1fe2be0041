/* sqlite: a database in memory: inserts, updates, sorts, joins, groups, an index, and text search. */
#include "../c/guest.h"
#include "sqlite3.h"
#include <stdio.h>

static uint64_t sum = 0;

static void check(sqlite3 *db, int code) {
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
    fprintf(stderr, "%s\n", sqlite3_errmsg(db));
    exit(1);
}

static void execute(sqlite3 *db, const char *sql) { check(db, sqlite3_exec(db, sql, NULL, NULL, NULL)); }

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement;
    check(db, sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
    return statement;
}

/* Everything that a query answers goes into the checksum. */
static void query(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = prepare(db, sql);
    int columns = sqlite3_column_count(statement);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        for (int column = 0; column < columns; column++) {
            const unsigned char *text = sqlite3_column_text(statement, column);
            for (; text != NULL && *text != 0; text++) sum = mix(sum, *text);
        }
    check(db, code);
    check(db, sqlite3_finalize(statement));
}

static void fill(sqlite3 *db, int orders) {
    static const char *const cities[] = {"Basel", "Cork", "Delft", "Evora", "Gdansk", "Lund", "Pisa", "Turku"};
    uint64_t numbers = 4711;
    char name[64];
    execute(db, "BEGIN");
    sqlite3_stmt *customer = prepare(db, "INSERT INTO customer VALUES (?, ?, ?)");
    for (int id = 0; id < orders / 10; id++) {
        snprintf(name, sizeof name, "customer %d of %llu", id, (unsigned long long)(next_number(&numbers) >> 50));
        sqlite3_bind_int(customer, 1, id);
        sqlite3_bind_text(customer, 2, name, -1, SQLITE_TRANSIENT);
        sqlite3_bind_text(customer, 3, cities[next_number(&numbers) >> 61], -1, SQLITE_STATIC);
        check(db, sqlite3_step(customer));
        check(db, sqlite3_reset(customer));
    }
    check(db, sqlite3_finalize(customer));
    sqlite3_stmt *order = prepare(db, "INSERT INTO purchase VALUES (?, ?, ?, ?)");
    for (int id = 0; id < orders; id++) {
        sqlite3_bind_int(order, 1, id);
        sqlite3_bind_int(order, 2, (int)((next_number(&numbers) >> 33) % (uint64_t)(orders / 10)));
        sqlite3_bind_int(order, 3, (int)(next_number(&numbers) >> 50));
        sqlite3_bind_double(order, 4, (double)(next_number(&numbers) >> 54) / 8);
        check(db, sqlite3_step(order));
        check(db, sqlite3_reset(order));
    }
    check(db, sqlite3_finalize(order));
    execute(db, "COMMIT");
}

int main(int argc, char **argv) {
    int small = argc > 1 && strcmp(argv[1], "small") == 0;
    sqlite3 *db;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK) return 1;
    execute(db, "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT);"
                "CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INTEGER, day INTEGER, amount REAL)");
    fill(db, small ? 200 : 25000);
    execute(db, "CREATE INDEX by_customer ON purchase (customer, day)");
    query(db, "SELECT city, count(*), sum(amount), max(day) FROM customer JOIN purchase ON customer.id = purchase.customer "
              "GROUP BY city ORDER BY 3 DESC");
    query(db, "SELECT name, total FROM (SELECT customer, sum(amount) AS total FROM purchase GROUP BY customer) "
              "JOIN customer ON customer.id = customer ORDER BY total DESC, name LIMIT 100");
    query(db, "SELECT id, day, amount FROM purchase ORDER BY amount, day DESC, id");
    query(db, "SELECT a.id, b.id FROM purchase a JOIN purchase b ON a.customer = b.customer AND b.day > a.day "
              "WHERE a.day % 7 = 3 ORDER BY b.day, a.id, b.id");
    execute(db, "UPDATE purchase SET amount = amount * 2 WHERE customer IN (SELECT id FROM customer WHERE city = 'Lund');"
                "DELETE FROM purchase WHERE day % 5 = 0");
    query(db, "SELECT upper(substr(name, 10, 8)) AS key, count(*) FROM customer WHERE name LIKE '%of%1%' GROUP BY key ORDER BY key");
    query(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT sum(i * i) FROM n");
    query(db, "SELECT count(*), sum(amount) FROM purchase");
    if (sqlite3_close(db) != SQLITE_OK) return 1;
    return result(sum);
}
