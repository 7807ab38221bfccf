/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Writing JSON.
 *
 * What is written is valid JSON on one line, whatever the text holds.
 *
 * Encoding.  An output plugin's text is in the database's encoding: the SQL functions
 * take it for a value of type text, and the replication protocol sends it as it is.
 * JSON is UTF-8.  In a UTF-8 database the two agree.  In any other, every character
 * that is not ASCII becomes a \uXXXX escape, which reads the same in all encodings.
 * The conversion function is looked up once, by derive_json_init: some callbacks run
 * where no catalog can be read.  What has no character in UTF-8 (bytes of a SQL_ASCII
 * database) becomes \u0080 to \u00ff, byte by byte.
 *
 * Memory: temporary conversions are left in CurrentMemoryContext.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/json.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/memutils.h"

/* The days that have four digits for the year and no era, 0001-01-01 to 9999-12-31. */
#define FIRST_DAY (-730119)
#define LAST_DAY 2921939

/* A number times this is that number in each of eight bytes. */
#define EACH_BYTE UINT64CONST(0x0101010101010101)

static bool prepared = false;
static bool database_is_utf8;
static bool can_convert;
static FmgrInfo conversion; /* from the database's encoding to UTF-8 */

static const char hex_digits[] = "0123456789abcdef";

/* Bytes that stand for themselves: within a string, and in what is JSON already. */
static bool plain_in_string[256];
static bool plain_in_raw[256];

void
derive_json_init(void)
{
	int encoding = GetDatabaseEncoding();
	Oid proc = InvalidOid;

	if (prepared)
		return;
	database_is_utf8 = encoding == PG_UTF8;
	if (!database_is_utf8 && encoding != PG_SQL_ASCII)
		proc = FindDefaultConversionProc(encoding, PG_UTF8);
	can_convert = OidIsValid(proc);
	if (can_convert)
		fmgr_info_cxt(proc, &conversion, TopMemoryContext);
	for (int c = 0; c < 256; c++)
	{
		plain_in_raw[c] = c >= 0x20 && (c < 0x80 || database_is_utf8);
		plain_in_string[c] = plain_in_raw[c] && c != '"' && c != '\\';
	}
	prepared = true;
}

/* ---------- strings ---------- */

/* Appends \uXXXX. */
static void
put_unit(StringInfo out, unsigned int unit)
{
	char escape[6] = {'\\',
					  'u',
					  hex_digits[(unit >> 12) & 0xf],
					  hex_digits[(unit >> 8) & 0xf],
					  hex_digits[(unit >> 4) & 0xf],
					  hex_digits[unit & 0xf]};

	derive_json_piece(out, escape, sizeof(escape));
}

/* Appends a character as one escape, or as two if it lies beyond the first 65536. */
static void
put_character(StringInfo out, pg_wchar character)
{
	if (character < 0x10000)
	{
		put_unit(out, character);
		return;
	}
	character -= 0x10000;
	put_unit(out, 0xd800 + (character >> 10));
	put_unit(out, 0xdc00 + (character & 0x3ff));
}

/*
 * Appends bytes that are not ASCII as escapes: as UTF-8 where they are, byte by byte
 * where they are not.
 */
static void
put_utf8(StringInfo out, const unsigned char *text, int len)
{
	while (len > 0)
	{
		int width = pg_utf_mblen(text);

		if (width > 1 && width <= len && pg_utf8_islegal(text, width))
			put_character(out, utf8_to_unicode(text));
		else
		{
			put_unit(out, *text);
			width = 1;
		}
		text += width;
		len -= width;
	}
}

/* Appends a run of bytes that are not ASCII, in the database's encoding, as escapes. */
static void
put_foreign(StringInfo out, const char *text, int len)
{
	int encoding = GetDatabaseEncoding();

	if (!can_convert)
	{
		put_utf8(out, (const unsigned char *) text, len);
		return;
	}
	while (len > 0)
	{
		unsigned char *utf8 = palloc(len * MAX_CONVERSION_GROWTH + 1);
		int done = DatumGetInt32(
			FunctionCall6(&conversion, Int32GetDatum(encoding), Int32GetDatum(PG_UTF8),
						  CStringGetDatum(text), CStringGetDatum((char *) utf8),
						  Int32GetDatum(len), BoolGetDatum(true)));

		put_utf8(out, utf8, strlen((char *) utf8));
		if (done < len) /* this one has no equivalent */
			put_unit(out, (unsigned char) text[done++]);
		text += done;
		len -= done;
		pfree(utf8);
	}
}

/* Appends a control character, a quote or a backslash. */
static void
put_special(StringInfo out, unsigned char c)
{
	char escape[2] = {'\\', c};

	switch (c)
	{
		case '\b':
			escape[1] = 'b';
			break;
		case '\f':
			escape[1] = 'f';
			break;
		case '\n':
			escape[1] = 'n';
			break;
		case '\r':
			escape[1] = 'r';
			break;
		case '\t':
			escape[1] = 't';
			break;
		case '"':
		case '\\':
			break;
		default:
			put_unit(out, c);
			return;
	}
	derive_json_piece(out, escape, 2);
}

/*
 * Returns how many bytes from here on are not ASCII: whole characters, in any encoding
 * that a database can have.
 */
static int
foreign_run(const unsigned char *text, int len)
{
	int n = 0;

	while (n < len && text[n] >= 0x80)
		n++;
	return n;
}

/* Returns true if some of eight bytes is less than a number of at most 0x80. */
static inline bool
any_less(uint64 bytes, unsigned char number)
{
	return ((bytes - EACH_BYTE * number) & ~bytes & (EACH_BYTE * 0x80)) != 0;
}

/* Returns how many bytes from here on stand for themselves. */
static int
plain_run(const char *text, int len, const bool *plain)
{
	int run = 0;

	/* eight at a time: no control character, quote, backslash, nothing beyond ASCII */
	for (; run + 8 <= len; run += 8)
	{
		uint64 bytes;

		memcpy(&bytes, text + run, 8);
		if ((bytes & (EACH_BYTE * 0x80)) != 0 || any_less(bytes, 0x20) ||
			any_less(bytes ^ (EACH_BYTE * '"'), 1) ||
			any_less(bytes ^ (EACH_BYTE * '\\'), 1))
			break;
	}
	while (run < len && plain[(unsigned char) text[run]])
		run++;
	return run;
}

/* Appends the inside of a string, or with raw what is JSON already. */
static void
put_text(StringInfo out, const char *text, int len, bool raw)
{
	const bool *plain = raw ? plain_in_raw : plain_in_string;

	while (len > 0)
	{
		int run = plain_run(text, len, plain);

		derive_json_piece(out, text, run);
		if (run == 0 && ((unsigned char) *text) >= 0x80)
		{
			run = foreign_run((const unsigned char *) text, len);
			put_foreign(out, text, run);
		}
		else if (run == 0)
		{
			if (raw) /* white space between tokens */
				derive_json_literal(out, " ");
			else
				put_special(out, *text);
			run = 1;
		}
		text += run;
		len -= run;
	}
}

void
derive_json_string(StringInfo out, const char *text, int len)
{
	derive_json_literal(out, "\"");
	put_text(out, text, len, false);
	derive_json_literal(out, "\"");
}

void
derive_json_cstring(StringInfo out, const char *text)
{
	derive_json_string(out, text, strlen(text));
}

void
derive_json_raw(StringInfo out, const char *text, int len)
{
	put_text(out, text, len, true);
}

bool
derive_json_is_text(const char *bytes, int len)
{
	return pg_verify_mbstr(GetDatabaseEncoding(), bytes, len, true);
}

/* ---------- bytes ---------- */

void
derive_json_base64(StringInfo out, const char *bytes, int len)
{
	int room = pg_b64_enc_len(len);
	int written;

	derive_json_literal(out, "\"");
	enlargeStringInfo(out, room + 1);
	/* its bytes are char or, from PostgreSQL 18 on, uint8 */
	written = pg_b64_encode((const void *) bytes, len, out->data + out->len, room);
	if (written < 0)
		elog(ERROR, "could not encode %d bytes as base64", len);
	out->len += written;
	derive_json_literal(out, "\"");
}

void
derive_json_hex(StringInfo out, const char *prefix, const char *bytes, int len)
{
	derive_json_literal(out, "\"");
	derive_json_piece(out, prefix, strlen(prefix));
	enlargeStringInfo(out, len * 2 + 1);
	out->len += hex_encode(bytes, len, out->data + out->len);
	derive_json_literal(out, "\"");
}

/* ---------- numbers, times ---------- */

void
derive_json_uint64(StringInfo out, uint64 value)
{
	char digits[MAXINT8LEN + 1];

	derive_json_piece(out, digits, pg_ulltoa_n(value, digits));
}

void
derive_json_int64(StringInfo out, int64 value)
{
	char digits[MAXINT8LEN + 1];

	derive_json_piece(out, digits, pg_lltoa(value, digits));
}

void
derive_json_bool(StringInfo out, bool value)
{
	if (value)
		derive_json_literal(out, "true");
	else
		derive_json_literal(out, "false");
}

/* Writes a number in hexadecimal digits, as many as it needs; returns how many. */
static int
put_hex(char *at, uint32 number)
{
	int len = number == 0 ? 1 : pg_leftmost_one_pos32(number) / 4 + 1;

	for (int i = len - 1; i >= 0; i--, number >>= 4)
		at[i] = "0123456789ABCDEF"[number & 0xf];
	return len;
}

void
derive_json_lsn(StringInfo out, XLogRecPtr lsn)
{
	char text[20];
	int len = 0;

	text[len++] = '"';
	len += put_hex(text + len, (uint32) (lsn >> 32));
	text[len++] = '/';
	len += put_hex(text + len, (uint32) lsn);
	text[len++] = '"';
	derive_json_piece(out, text, len);
}

/* Writes two digits. */
static inline void
put_two(char *at, int number)
{
	at[0] = '0' + number / 10;
	at[1] = '0' + number % 10;
}

/* Writes a day as "2026-01-31"; the last one is remembered, for it is often asked for again. */
static void
put_day(char *at, int day)
{
	static int last_day = PG_INT32_MIN;
	static char last[10];

	if (day != last_day)
	{
		int year;
		int month;
		int of_month;

		j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &of_month);
		put_two(last, year / 100);
		put_two(last + 2, year % 100);
		last[4] = '-';
		put_two(last + 5, month);
		last[7] = '-';
		put_two(last + 8, of_month);
		last_day = day;
	}
	memcpy(at, last, sizeof(last));
}

bool
derive_json_clock(StringInfo out, Timestamp time, char separator, const char *zone)
{
	char text[40];
	int len = 20;
	int64 day = time / USECS_PER_DAY;
	int64 rest = time % USECS_PER_DAY;
	int fraction;
	int seconds;

	if (rest < 0)
	{
		rest += USECS_PER_DAY;
		day--;
	}
	if (day < FIRST_DAY || day > LAST_DAY)
		return false;
	seconds = rest / USECS_PER_SEC;
	fraction = rest % USECS_PER_SEC;
	text[0] = '"';
	put_day(text + 1, day);
	text[11] = separator;
	put_two(text + 12, seconds / 3600);
	text[14] = ':';
	put_two(text + 15, seconds / 60 % 60);
	text[17] = ':';
	put_two(text + 18, seconds % 60);
	if (fraction != 0)
	{
		text[len++] = '.';
		put_two(text + len, fraction / 10000);
		put_two(text + len + 2, fraction / 100 % 100);
		put_two(text + len + 4, fraction % 100);
		for (len += 6; text[len - 1] == '0'; len--)
			;
	}
	while (*zone != '\0')
		text[len++] = *zone++;
	text[len++] = '"';
	derive_json_piece(out, text, len);
	return true;
}

void
derive_json_time(StringInfo out, TimestampTz time)
{
	char text[MAXDATELEN + 1];
	const int utc = 0;

	if (derive_json_clock(out, time, 'T', "+00:00"))
		return;
	JsonEncodeDateTime(text, TimestampTzGetDatum(time), TIMESTAMPTZOID, &utc);
	derive_json_literal(out, "\"");
	derive_json_piece(out, text, strlen(text));
	derive_json_literal(out, "\"");
}
