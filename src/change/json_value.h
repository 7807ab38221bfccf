/*-------------------------------------------------------------------------
 *
 * json_value.h
 *	  Values of any type as JSON, see json_value.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_JSON_VALUE_H
#define DERIVE_CHANGE_JSON_VALUE_H

#include "fmgr.h"
#include "lib/stringinfo.h"

/* Whose habits values follow. */
typedef enum ValueStyle
{
	VALUES_POSTGRES, /* to_json of PostgreSQL itself */
	VALUES_WAL2JSON,
	VALUES_DEBEZIUM
} ValueStyle;

typedef struct ValueWriter ValueWriter;

/* How the values of one type are written. */
struct ValueWriter
{
	void (*write)(StringInfo out, ValueWriter *writer, Datum value);
	ValueStyle style;
	Oid type; /* not a domain */
	int32 typmod;
	int16 length;
	bool by_value;
	char alignment;
	FmgrInfo output;	  /* where the type's own text is wanted */
	ValueWriter *element; /* of an array */
	MemoryContext context;
};

/*
 * Prepares a writer, which keeps what it needs in context.  Reads catalogs.
 */
extern void derive_value_prepare(ValueWriter *writer, Oid type, int32 typmod,
								 ValueStyle style, MemoryContext context);

/*
 * Appends a value that is not NULL and at hand.  Leaves temporary memory in
 * CurrentMemoryContext.
 */
static inline void
derive_value_write(StringInfo out, ValueWriter *writer, Datum value)
{
	writer->write(out, writer, value);
}

#endif /* DERIVE_CHANGE_JSON_VALUE_H */
