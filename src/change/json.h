/*-------------------------------------------------------------------------
 *
 * json.h
 *	  Writing JSON: strings, numbers, times, positions; see json.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_JSON_H
#define DERIVE_CHANGE_JSON_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

/* Prepares for the database's encoding; to be called where catalogs can be read. */
extern void derive_json_init(void);

/* Appends text in the database's encoding as a JSON string, with its quotes. */
extern void derive_json_string(StringInfo out, const char *text, int len);
extern void derive_json_cstring(StringInfo out, const char *text);

/* Appends text that is JSON already, as one line that is valid in any encoding. */
extern void derive_json_raw(StringInfo out, const char *text, int len);

/* Appends bytes as a string of base64 or of hexadecimal digits, which prefix precedes. */
extern void derive_json_base64(StringInfo out, const char *bytes, int len);
extern void
derive_json_hex(StringInfo out, const char *prefix, const char *bytes, int len);

/* Returns true if bytes are text in the database's encoding. */
extern bool derive_json_is_text(const char *bytes, int len);

extern void derive_json_uint64(StringInfo out, uint64 value);
extern void derive_json_int64(StringInfo out, int64 value);
extern void derive_json_bool(StringInfo out, bool value);

/* Appends a position as a string, "16/B374D848". */
extern void derive_json_lsn(StringInfo out, XLogRecPtr lsn);

/* Appends a time as a string of ISO 8601 in UTC, "2026-01-31T12:00:00.5+00:00". */
extern void derive_json_time(StringInfo out, TimestampTz time);

/*
 * Appends a time of the years 1 to 9999 as a string: day, separator, time of day, zone
 * (at most "+00:00").  Returns false, and appends nothing, if it is another one.
 */
extern bool
derive_json_clock(StringInfo out, Timestamp time, char separator, const char *zone);

/* Appends bytes as they are: a piece that was prepared or a literal. */
static inline void
derive_json_piece(StringInfo out, const char *piece, int len)
{
	if (out->len + len >= out->maxlen)
		enlargeStringInfo(out, len);
	memcpy(out->data + out->len, piece, len);
	out->len += len;
	out->data[out->len] = '\0';
}

#define derive_json_literal(out, literal) \
	derive_json_piece((out), (literal), sizeof(literal) - 1)

#endif /* DERIVE_CHANGE_JSON_H */
