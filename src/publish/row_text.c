/*-------------------------------------------------------------------------
 *
 * row_text.c
 *	  Rows as jsonb arrays of texts, by the numbers of their columns.
 *
 * Between the tick that writes an event and the handler that gets it, the row's table may be
 * altered.  So a row is kept as an array: the text of column 1, of column 2 and so on, and
 * NULL for NULL.  Numbers of columns stay what they are when columns are renamed, dropped
 * and added; a column that came later has the value that ADD COLUMN gave to the rows that
 * were there.  Texts are what types' own functions write and read, which to_jsonb and
 * jsonb_populate_record do not always agree on: a jsonb null is not NULL, arrays have
 * lower bounds, and -0 is a float.  They are written and read under settings that lose
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "publish/row_text.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"
#include "utils/xml.h"

PG_FUNCTION_INFO_V1(derive_row_texts);

/* Sets a setting until the nest level ends, unless it has that value. */
static void
set_exact(const char *name, const char *value, bool has_it)
{
	if (!has_it)
		(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, 0, false);
}

/*
 * Sets, for a while, what texts and reading them depend on; returns what leave_exact_texts
 * needs.
 */
static int
enter_exact_texts(void)
{
	int level = NewGUCNestLevel();

	set_exact("array_nulls", "on", Array_nulls);
	set_exact("datestyle", "ISO", DateStyle == USE_ISO_DATES);
	set_exact("extra_float_digits", "1", extra_float_digits >= 1);
	set_exact("intervalstyle", "postgres", IntervalStyle == INTSTYLE_POSTGRES);
	set_exact("xmloption", "content", xmloption == XMLOPTION_CONTENT);
	return level;
}

/* Ends what enter_exact_texts has begun; the abort of a subtransaction does so, too. */
static void
leave_exact_texts(int level)
{
	AtEOXact_GUC(true, level);
}

/* derive_state.row_texts(record) → jsonb */
Datum
derive_row_texts(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row),
											HeapTupleHeaderGetTypMod(row));
	Datum *values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	bool *nulls = palloc(Max(desc->natts, 1));
	JsonbParseState *state = NULL;
	HeapTupleData tuple;
	JsonbValue *result;
	int level = enter_exact_texts();

	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	heap_deform_tuple(&tuple, desc, values, nulls);
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		JsonbValue text = {.type = jbvNull};
		Oid output;
		bool varlena;

		if (!nulls[i] && !att->attisdropped)
		{
			getTypeOutputInfo(att->atttypid, &output, &varlena);
			text.type = jbvString;
			text.val.string.val = OidOutputFunctionCall(output, values[i]);
			text.val.string.len = strlen(text.val.string.val);
		}
		(void) pushJsonbValue(&state, WJB_ELEM, &text);
	}
	result = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	leave_exact_texts(level);
	ReleaseTupleDesc(desc);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(result));
}

/* Returns the value of a column whose text is given, NULL: of a column that is NULL. */
static Datum
value_of(Form_pg_attribute att, const JsonbValue *text)
{
	char *string = NULL;
	Oid input;
	Oid param;

	if (text->type == jbvString)
		string = pnstrdup(text->val.string.val, text->val.string.len);
	getTypeInputInfo(att->atttypid, &input, &param);
	return OidInputFunctionCall(input, string, param, att->atttypmod);
}

Datum
derive_row_from_texts(Oid relid, JsonbContainer *texts)
{
	Relation relation = relation_open(relid, AccessShareLock);
	TupleDesc desc = RelationGetDescr(relation);
	Datum *values = palloc0(sizeof(Datum) * Max(desc->natts, 1));
	bool *nulls = palloc(Max(desc->natts, 1));
	int known = JsonContainerSize(texts);
	int level = enter_exact_texts();
	Datum result;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		JsonbValue *text = i < known ? getIthJsonbValueFromContainer(texts, i) : NULL;

		nulls[i] = true;
		if (att->attisdropped)
			continue;
		if (text == NULL)
			values[i] = getmissingattr(desc, i + 1, &nulls[i]);
		else
		{
			nulls[i] = text->type != jbvString;
			values[i] = value_of(att, text);
		}
	}
	leave_exact_texts(level);
	result = heap_copy_tuple_as_datum(heap_form_tuple(desc, values, nulls), desc);
	relation_close(relation, NoLock);
	return result;
}
