/*-------------------------------------------------------------------------
 *
 * json_value.c
 *	  Values of any type as JSON.
 *
 * Style VALUES_POSTGRES follows to_json() of PostgreSQL: numbers and booleans are
 * JSON's, json and jsonb are embedded, arrays are arrays, composites are objects, all
 * else is a string of the type's own text; NaN and infinity, for which JSON has no
 * number, are strings.  The other styles do what their namesakes do; where they differ
 * is in docs/reference/change-stream.md.
 *
 * A value's JSON does not depend on the session: dates are ISO 8601 in UTC, floats have
 * all their digits.  The common types are written without their output functions.  For
 * the others, the settings that output functions look at are set around the call.
 *
 * Composites are looked up anew for each value: nothing tells a relation's cache that a
 * type inside one of its columns was altered.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/json_value.h"

#include "access/htup_details.h"
#include "base/compat.h"
#include "catalog/pg_type.h"
#include "change/json.h"
#include "common/shortest_dec.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

/* Days and microseconds from 1970-01-01 to 2000-01-01. */
#define EPOCH_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)
#define EPOCH_MICROSECONDS (EPOCH_DAYS * USECS_PER_DAY)

/* What Debezium writes for timestamps without an end, in ms or µs alike. */
#define DEBEZIUM_INFINITY INT64CONST(9223372036825200000)
#define DEBEZIUM_MINUS_INFINITY INT64CONST(-9223372036832400000)

/* ---------- a type's own text ---------- */

/* Settings that output functions look at. */
typedef struct OutputSettings
{
	int date_style;
	int date_order;
	int interval_style;
	int float_digits;
	int bytea_style;
	pg_tz *timezone;
} OutputSettings;

/* Returns the settings in force and puts others in their place. */
static OutputSettings
exchange_settings(OutputSettings with)
{
	OutputSettings old = {DateStyle,		  DateOrder,	IntervalStyle,
						  extra_float_digits, bytea_output, session_timezone};

	DateStyle = with.date_style;
	DateOrder = with.date_order;
	IntervalStyle = with.interval_style;
	extra_float_digits = with.float_digits;
	bytea_output = with.bytea_style;
	session_timezone = with.timezone;
	return old;
}

/* Returns a value's text, whatever the session's settings are. */
static char *
output(ValueWriter *writer, Datum value)
{
	static pg_tz *utc = NULL;
	OutputSettings old;
	char *text;

	if (utc == NULL)
		utc = pg_tzset("UTC");
	old = exchange_settings((OutputSettings){
		USE_ISO_DATES, DATEORDER_YMD,
		writer->style == VALUES_DEBEZIUM ? INTSTYLE_ISO_8601 : INTSTYLE_POSTGRES, 1,
		BYTEA_OUTPUT_HEX, utc});
	PG_TRY();
	{
		text = OutputFunctionCall(&writer->output, value);
	}
	PG_FINALLY();
	{
		exchange_settings(old);
	}
	PG_END_TRY();
	return text;
}

/* Writes a value's text as a string. */
static void
write_output(StringInfo out, ValueWriter *writer, Datum value)
{
	derive_json_cstring(out, output(writer, value));
}

/* Writes text of at most so many bytes as a string that needs no escapes. */
static void
write_plain(StringInfo out, const char *text, int len)
{
	derive_json_literal(out, "\"");
	derive_json_piece(out, text, len);
	derive_json_literal(out, "\"");
}

/* ---------- scalars ---------- */

static void
write_bool(StringInfo out, ValueWriter *writer, Datum value)
{
	derive_json_bool(out, DatumGetBool(value));
}

static void
write_int2(StringInfo out, ValueWriter *writer, Datum value)
{
	derive_json_int64(out, DatumGetInt16(value));
}

static void
write_int4(StringInfo out, ValueWriter *writer, Datum value)
{
	char digits[12];

	derive_json_piece(out, digits, pg_ltoa(DatumGetInt32(value), digits));
}

static void
write_int8(StringInfo out, ValueWriter *writer, Datum value)
{
	derive_json_int64(out, DatumGetInt64(value));
}

static void
write_oid(StringInfo out, ValueWriter *writer, Datum value)
{
	derive_json_uint64(out, DatumGetObjectId(value));
}

/* Writes what is not a number in JSON. */
static void
write_special_float(StringInfo out, double value)
{
	if (isnan(value))
		derive_json_literal(out, "\"NaN\"");
	else if (value > 0)
		derive_json_literal(out, "\"Infinity\"");
	else
		derive_json_literal(out, "\"-Infinity\"");
}

static void
write_float4(StringInfo out, ValueWriter *writer, Datum value)
{
	float4 number = DatumGetFloat4(value);
	char text[FLOAT_SHORTEST_DECIMAL_LEN];

	if (isnan(number) || isinf(number))
		write_special_float(out, number);
	else
		derive_json_piece(out, text, float_to_shortest_decimal_bufn(number, text));
}

static void
write_float8(StringInfo out, ValueWriter *writer, Datum value)
{
	float8 number = DatumGetFloat8(value);
	char text[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (isnan(number) || isinf(number))
		write_special_float(out, number);
	else
		derive_json_piece(out, text, double_to_shortest_decimal_bufn(number, text));
}

static void
write_numeric(StringInfo out, ValueWriter *writer, Datum value)
{
	char *text = DatumGetCString(DirectFunctionCall1(numeric_out, value));

	if (isdigit((unsigned char) text[0]) ||
		(text[0] == '-' && isdigit((unsigned char) text[1])))
		derive_json_piece(out, text, strlen(text));
	else
		write_plain(out, text, strlen(text));
}

static void
write_text(StringInfo out, ValueWriter *writer, Datum value)
{
	text *string = DatumGetTextPP(value);

	derive_json_string(out, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
}

static void
write_name(StringInfo out, ValueWriter *writer, Datum value)
{
	derive_json_cstring(out, NameStr(*DatumGetName(value)));
}

static void
write_bytea(StringInfo out, ValueWriter *writer, Datum value)
{
	bytea *bytes = DatumGetByteaPP(value);
	const char *data = VARDATA_ANY(bytes);
	int len = VARSIZE_ANY_EXHDR(bytes);

	if (writer->style == VALUES_DEBEZIUM)
		derive_json_base64(out, data, len);
	else
		derive_json_hex(out, writer->style == VALUES_WAL2JSON ? "" : "\\\\x", data, len);
}

static void
write_json(StringInfo out, ValueWriter *writer, Datum value)
{
	text *json = DatumGetTextPP(value);

	derive_json_raw(out, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
}

static void
write_jsonb(StringInfo out, ValueWriter *writer, Datum value)
{
	Jsonb *json = DatumGetJsonbP(value);
	char *text = JsonbToCString(NULL, &json->root, VARSIZE(json));

	derive_json_raw(out, text, strlen(text));
}

static void
write_uuid(StringInfo out, ValueWriter *writer, Datum value)
{
	char hex[UUID_LEN * 2];
	char text[36];
	int at = 0;

	hex_encode((char *) DatumGetUUIDP(value)->data, UUID_LEN, hex);
	for (int i = 0; i < UUID_LEN * 2; i++)
	{
		if (i == 8 || i == 12 || i == 16 || i == 20)
			text[at++] = '-';
		text[at++] = hex[i];
	}
	write_plain(out, text, at);
}

/* ---------- dates and times ---------- */

/* Writes a date, timestamp or timestamptz as to_json does, in UTC. */
static void
write_datetime(StringInfo out, ValueWriter *writer, Datum value)
{
	char text[MAXDATELEN + 1];
	const int utc = 0;

	if (writer->type != DATEOID &&
		derive_json_clock(out, DatumGetTimestamp(value), 'T',
						  writer->type == TIMESTAMPTZOID ? "+00:00" : ""))
		return;
	JsonEncodeDateTime(text, value, writer->type,
					   writer->type == TIMESTAMPTZOID ? &utc : NULL);
	write_plain(out, text, strlen(text));
}

/* Writes a timestamp or timestamptz as its output function does, in UTC. */
static void
write_timestamp_output(StringInfo out, ValueWriter *writer, Datum value)
{
	Timestamp timestamp = DatumGetTimestamp(value);
	char text[MAXDATELEN + 1];
	struct pg_tm tm;
	fsec_t fsec;

	if (derive_json_clock(out, timestamp, ' ',
						  writer->type == TIMESTAMPTZOID ? "+00" : ""))
		return;
	if (TIMESTAMP_NOT_FINITE(timestamp))
		EncodeSpecialTimestamp(timestamp, text);
	else
	{
		if (timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
			elog(ERROR, "timestamp out of range");
		tm.tm_isdst = 0; /* a zone is known, and shown */
		EncodeDateTime(&tm, fsec, writer->type == TIMESTAMPTZOID, 0, NULL, USE_ISO_DATES,
					   text);
	}
	write_plain(out, text, strlen(text));
}

/* Writes days since 1970, as io.debezium.time.Date. */
static void
write_debezium_date(StringInfo out, ValueWriter *writer, Datum value)
{
	DateADT date = DatumGetDateADT(value);

	derive_json_int64(out, DATE_NOT_FINITE(date) ? date : (int64) date + EPOCH_DAYS);
}

/* Writes µs or, up to three digits, ms of a day, as io.debezium.time.MicroTime or Time. */
static void
write_debezium_time(StringInfo out, ValueWriter *writer, Datum value)
{
	bool milliseconds = writer->typmod >= 0 && writer->typmod <= 3;

	derive_json_int64(out, DatumGetTimeADT(value) / (milliseconds ? 1000 : 1));
}

/* Writes µs or, up to three digits, ms since 1970, as io.debezium.time.[Micro]Timestamp. */
static void
write_debezium_timestamp(StringInfo out, ValueWriter *writer, Datum value)
{
	Timestamp timestamp = DatumGetTimestamp(value);

	if (TIMESTAMP_IS_NOEND(timestamp))
		derive_json_int64(out, DEBEZIUM_INFINITY);
	else if (TIMESTAMP_IS_NOBEGIN(timestamp))
		derive_json_int64(out, DEBEZIUM_MINUS_INFINITY);
	else if (writer->typmod >= 0 && writer->typmod <= 3)
		/* exact: such a timestamp has no more digits */
		derive_json_int64(out, (timestamp + EPOCH_MICROSECONDS) / 1000);
	else
		derive_json_int64(out, timestamp + EPOCH_MICROSECONDS);
}

/* Writes a timestamptz as io.debezium.time.ZonedTimestamp, "2026-01-31T12:00:00.5Z". */
static void
write_debezium_timestamptz(StringInfo out, ValueWriter *writer, Datum value)
{
	Timestamp timestamp = DatumGetTimestamp(value);
	char text[MAXDATELEN + 1];

	if (derive_json_clock(out, timestamp, 'T', "Z"))
		return;
	/* UTC's clock: a timestamp without zone that shows the same digits */
	JsonEncodeDateTime(text, value, TIMESTAMPOID, NULL);
	if (!TIMESTAMP_NOT_FINITE(timestamp))
		strcat(text, "Z");
	write_plain(out, text, strlen(text));
}

/* ---------- arrays, composites ---------- */

/* Writes one dimension of an array; *at is the next element. */
static void
write_dimension(StringInfo out, ValueWriter *element, const ArrayType *array,
				int dimension, const Datum *values, const bool *isnull, int *at)
{
	derive_json_literal(out, "[");
	for (int i = 0; i < ARR_DIMS(array)[dimension]; i++)
	{
		if (i > 0)
			derive_json_literal(out, ",");
		if (dimension + 1 < ARR_NDIM(array))
			write_dimension(out, element, array, dimension + 1, values, isnull, at);
		else
		{
			if (isnull[*at])
				derive_json_literal(out, "null");
			else
				derive_value_write(out, element, values[*at]);
			(*at)++;
		}
	}
	derive_json_literal(out, "]");
}

static void
write_array(StringInfo out, ValueWriter *writer, Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	ValueWriter *element = writer->element;
	Datum *values;
	bool *isnull;
	int count;
	int at = 0;

	if (ARR_NDIM(array) == 0)
	{
		derive_json_literal(out, "[]");
		return;
	}
	deconstruct_array(array, ARR_ELEMTYPE(array), element->length, element->by_value,
					  element->alignment, &values, &isnull, &count);
	write_dimension(out, element, array, 0, values, isnull, &at);
}

/* Writes a composite value as an object of its columns. */
static void
write_composite(StringInfo out, ValueWriter *writer, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple;
	bool first = true;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	derive_json_literal(out, "{");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		ValueWriter column;
		bool isnull;
		Datum attribute;

		if (att->attisdropped)
			continue;
		if (!first)
			derive_json_literal(out, ",");
		first = false;
		derive_json_cstring(out, NameStr(att->attname));
		derive_json_literal(out, ":");
		attribute = heap_getattr(&tuple, i + 1, desc, &isnull);
		if (isnull)
		{
			derive_json_literal(out, "null");
			continue;
		}
		derive_value_prepare(&column, att->atttypid, att->atttypmod, writer->style,
							 CurrentMemoryContext);
		derive_value_write(out, &column, attribute);
	}
	derive_json_literal(out, "}");
	ReleaseTupleDesc(desc);
}

/* ---------- which type is written how ---------- */

typedef void (*WriteFunction)(StringInfo out, ValueWriter *writer, Datum value);

/* Returns how a type is written whatever the style, or NULL. */
static WriteFunction
find_common(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return write_bool;
		case INT2OID:
			return write_int2;
		case INT4OID:
			return write_int4;
		case INT8OID:
			return write_int8;
		case FLOAT4OID:
			return write_float4;
		case FLOAT8OID:
			return write_float8;
		case NUMERICOID:
			return write_numeric;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return write_text;
		case NAMEOID:
			return write_name;
		case BYTEAOID:
			return write_bytea;
		case UUIDOID:
			return write_uuid;
		default:
			return NULL;
	}
}

/* Returns how to_json writes a type, or NULL: as the text of its output function. */
static WriteFunction
find_postgres(Oid type)
{
	switch (type)
	{
		case JSONOID:
			return write_json;
		case JSONBOID:
			return write_jsonb;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return write_datetime;
		default:
			return NULL;
	}
}

/* The same of wal2json. */
static WriteFunction
find_wal2json(Oid type)
{
	switch (type)
	{
		case OIDOID:
			return write_oid;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return write_timestamp_output;
		default:
			return NULL;
	}
}

/* The same of Debezium. */
static WriteFunction
find_debezium(Oid type)
{
	switch (type)
	{
		case OIDOID:
			return write_oid;
		case DATEOID:
			return write_debezium_date;
		case TIMEOID:
			return write_debezium_time;
		case TIMESTAMPOID:
			return write_debezium_timestamp;
		case TIMESTAMPTZOID:
			return write_debezium_timestamptz;
		default:
			return NULL;
	}
}

/* Prepares for a type that has no writer of its own; wal2json shows the text of each. */
static void
prepare_other(ValueWriter *writer)
{
	Oid element = get_element_type(writer->type);
	Oid function;
	bool is_varlena;

	if (writer->style != VALUES_WAL2JSON && OidIsValid(element))
	{
		writer->element = MemoryContextAlloc(writer->context, sizeof(ValueWriter));
		derive_value_prepare(writer->element, element, writer->typmod, writer->style,
							 writer->context);
		writer->write = write_array;
		return;
	}
	if (writer->style != VALUES_WAL2JSON && type_is_rowtype(writer->type))
	{
		writer->write = write_composite;
		return;
	}
	getTypeOutputInfo(writer->type, &function, &is_varlena);
	fmgr_info_cxt(function, &writer->output, writer->context);
	writer->write = write_output;
}

void
derive_value_prepare(ValueWriter *writer, Oid type, int32 typmod, ValueStyle style,
					 MemoryContext context)
{
	memset(writer, 0, sizeof(ValueWriter));
	writer->style = style;
	writer->typmod = typmod;
	writer->context = context;
	/* wal2json knows a number by the column's own type, and a domain is none */
	writer->type = style == VALUES_WAL2JSON ? type
											: getBaseTypeAndTypmod(type, &writer->typmod);
	get_typlenbyvalalign(writer->type, &writer->length, &writer->by_value,
						 &writer->alignment);
	writer->write = find_common(writer->type);
	if (writer->write == NULL)
		writer->write = style == VALUES_POSTGRES   ? find_postgres(writer->type)
						: style == VALUES_WAL2JSON ? find_wal2json(writer->type)
												   : find_debezium(writer->type);
	if (writer->write == NULL)
		prepare_other(writer);
}
