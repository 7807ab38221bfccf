/*-------------------------------------------------------------------------
 *
 * row_image.c
 *	  Rows as canonical bytes.
 *
 * Deltas are consolidated by what a row is, not by what its types call equal:
 * 1.0 and 1.00 are two rows, and types without equality have rows, too.  So rows
 * are compared by their image, and two rows that look alike to a reader must have
 * the same bytes wherever they come from: from a page, from the log, or just
 * computed.  The image is a minimal tuple in which
 *
 * - each varlena is neither out of line nor compressed, and has a short header
 *   exactly if it fits one and its type (whatever ALTER COLUMN SET STORAGE says of
 *   the column) allows that;
 * - rows within rows, and within arrays, are treated likewise and formed anew,
 *   because their headers may carry remains of the page they were read from;
 * - dropped columns are left out.
 *
 * The hash leaves columns with rows within out: the header of such a row may also
 * carry the version of its type, and a hash that an index holds must not change with
 * ALTER TYPE.
 *
 * A bytea made of it has the varlena header in place of the tuple's length word,
 * so going from one to the other costs at most one copy.
 *
 * Runs in any backend: row_hash is the expression of an index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "base/compat.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "maintain/row_image.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

struct RowShape
{
	TupleDesc desc; /* of the image, storage as the types have it */
	int natts;		/* of the rows; desc may have fewer */
	int *source;	/* [desc->natts] 0-based column of the rows */
	bool *nested;	/* [desc->natts] holds rows within */
	bool any_nested;
	Datum *values; /* [desc->natts] scratch */
	bool *nulls;
};

/* What a call site of the SQL functions remembers of its argument. */
typedef struct ShapeCache
{
	Oid type;
	int32 typmod;
	RowShape *shape;
	Datum *values; /* [shape->natts] */
	bool *nulls;
} ShapeCache;

PG_FUNCTION_INFO_V1(derive_row_image);
PG_FUNCTION_INFO_V1(derive_row_hash);

static Datum canonical_value(Oid type, bool nested, Form_pg_attribute att, Datum value);

/* Tells whether values of a type are or contain rows. */
static bool
type_has_rows(Oid type)
{
	Oid base = getBaseType(type);
	Oid element = get_element_type(base);

	return type_is_rowtype(base) || (OidIsValid(element) && type_has_rows(element));
}

/*
 * Makes the shape of rows of desc, in CurrentMemoryContext.  A row within a row
 * keeps its dropped columns, so that it stays a value of its type.
 */
static RowShape *
make_shape(TupleDesc desc, bool keep_dropped)
{
	RowShape *shape = palloc0(sizeof(RowShape));
	int natts = 0;

	shape->natts = desc->natts;
	shape->source = palloc(sizeof(int) * Max(1, desc->natts));
	shape->nested = palloc0(sizeof(bool) * Max(1, desc->natts));
	shape->values = palloc(sizeof(Datum) * Max(1, desc->natts));
	shape->nulls = palloc(sizeof(bool) * Max(1, desc->natts));

	for (int i = 0; i < desc->natts; i++)
	{
		if (keep_dropped || !TupleDescAttr(desc, i)->attisdropped)
			shape->source[natts++] = i;
	}

	shape->desc = CreateTemplateTupleDesc(natts);
	shape->desc->tdtypeid = desc->tdtypeid;
	shape->desc->tdtypmod = desc->tdtypmod;
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att;

		TupleDescCopyEntry(shape->desc, i + 1, desc, shape->source[i] + 1);
		att = TupleDescAttr(shape->desc, i);
		att->attisdropped = TupleDescAttr(desc, shape->source[i])->attisdropped;
		if (att->attisdropped || att->attlen != -1)
			continue;
		att->attstorage = get_typstorage(att->atttypid);
		shape->nested[i] = type_has_rows(att->atttypid);
		shape->any_nested |= shape->nested[i];
		derive_compat_attribute_changed(shape->desc, i);
	}
	return shape;
}

/* Makes the shape of rows of desc, in CurrentMemoryContext; desc is copied. */
RowShape *
derive_image_shape(TupleDesc desc)
{
	return make_shape(desc, false);
}

/* Fills the shape's scratch with the canonical values of a row. */
static void
make_canonical(RowShape *shape, const Datum *values, const bool *nulls)
{
	for (int i = 0; i < shape->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(shape->desc, i);
		int source = shape->source[i];

		shape->nulls[i] = nulls[source] || att->attisdropped;
		shape->values[i] = values[source];
		if (!shape->nulls[i] && att->attlen == -1)
			shape->values[i] = canonical_value(att->atttypid, shape->nested[i], att,
											   values[source]);
	}
}

/* Forms a row within a row anew, out of canonical values. */
static Datum
canonical_row(Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											HeapTupleHeaderGetTypMod(header));
	RowShape *shape = make_shape(desc, true);
	Datum *values = palloc(sizeof(Datum) * Max(1, desc->natts));
	bool *nulls = palloc(sizeof(bool) * Max(1, desc->natts));
	HeapTupleData tuple;
	Datum canonical;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, nulls);
	make_canonical(shape, values, nulls);
	canonical = HeapTupleHeaderGetDatum(
		heap_form_tuple(desc, shape->values, shape->nulls)->t_data);
	ReleaseTupleDesc(desc);
	return canonical;
}

/* Forms an array of values that contain rows anew. */
static Datum
canonical_array(Oid element, Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	int16 typlen;
	bool typbyval;
	char typalign;
	Datum *elements;
	bool *nulls;
	int nelements;

	get_typlenbyvalalign(element, &typlen, &typbyval, &typalign);
	deconstruct_array(array, element, typlen, typbyval, typalign, &elements, &nulls,
					  &nelements);
	for (int i = 0; i < nelements; i++)
	{
		if (!nulls[i])
			elements[i] = canonical_value(element, true, NULL, elements[i]);
	}
	return PointerGetDatum(construct_md_array(elements, nulls, ARR_NDIM(array),
											  ARR_DIMS(array), ARR_LBOUND(array), element,
											  typlen, typbyval, typalign));
}

/*
 * Returns the canonical form of a varlena value.  att may be NULL for the element
 * of an array, where construct_md_array sees to the header.
 */
static Datum
canonical_value(Oid type, bool nested, Form_pg_attribute att, Datum value)
{
	struct varlena *varlena = (struct varlena *) DatumGetPointer(value);

	if (nested)
	{
		Oid base = getBaseType(type);
		Oid element = get_element_type(base);

		return OidIsValid(element) ? canonical_array(element, value)
								   : canonical_row(value);
	}
	/* the macro for short values is true of external and expanded ones, too */
	if (VARATT_IS_SHORT(varlena) && !VARATT_IS_EXTERNAL(varlena) &&
		(att == NULL || att->attstorage != TYPSTORAGE_PLAIN))
		return value;
	if (!VARATT_IS_EXTENDED(varlena))
		return value;
	return PointerGetDatum(detoast_attr(varlena));
}

/* Forms the image of values in CurrentMemoryContext. */
static MinimalTuple
form_image(RowShape *shape, const Datum *values, const bool *nulls)
{
	make_canonical(shape, values, nulls);
	return derive_compat_form_minimal_tuple(shape->desc, shape->values, shape->nulls);
}

/* Forms the image of a row (of the descriptor the shape was made of) in CurrentMemoryContext. */
MinimalTuple
derive_image_form(RowShape *shape, TupleTableSlot *row)
{
	slot_getallattrs(row);
	return form_image(shape, row->tts_values, row->tts_isnull);
}

/* Returns the minimal tuple that a bytea image holds, palloc'd. */
MinimalTuple
derive_image_tuple(Datum image)
{
	struct varlena *packed = pg_detoast_datum_packed(
		(struct varlena *) DatumGetPointer(image));
	Size size = VARSIZE_ANY_EXHDR(packed) + VARHDRSZ;
	MinimalTuple tuple = palloc(size);

	memcpy((char *) tuple + VARHDRSZ, VARDATA_ANY(packed), size - VARHDRSZ);
	tuple->t_len = size;
	return tuple;
}

/* Returns the hash of an image without columns that have rows within. */
static int64
hash_image(MinimalTuple image)
{
	return (int64) hash_bytes_extended((unsigned char *) image + VARHDRSZ,
									   image->t_len - VARHDRSZ, 0);
}

/* Returns the hash of values. */
static int64
hash_values(RowShape *shape, const Datum *values, const bool *nulls)
{
	make_canonical(shape, values, nulls);
	for (int i = 0; i < shape->desc->natts; i++)
		shape->nulls[i] |= shape->nested[i];
	return hash_image(
		derive_compat_form_minimal_tuple(shape->desc, shape->values, shape->nulls));
}

/* Returns the hash of the row with an image, equal to row_hash; row holds it, too. */
int64
derive_image_hash(RowShape *shape, MinimalTuple image, TupleTableSlot *row)
{
	if (!shape->any_nested)
		return hash_image(image);
	slot_getallattrs(row);
	return hash_values(shape, row->tts_values, row->tts_isnull);
}

/* Tells whether two rows have the same image, without forming it. */
bool
derive_image_rows_equal(RowShape *shape, TupleTableSlot *a, TupleTableSlot *b)
{
	slot_getallattrs(a);
	slot_getallattrs(b);
	for (int i = 0; i < shape->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(shape->desc, i);
		int source = shape->source[i];
		Datum x = a->tts_values[source];
		Datum y = b->tts_values[source];

		if (a->tts_isnull[source] != b->tts_isnull[source])
			return false;
		if (a->tts_isnull[source])
			continue;
		if (shape->nested[i])
		{
			x = canonical_value(att->atttypid, true, att, x);
			y = canonical_value(att->atttypid, true, att, y);
		}
		if (!datum_image_eq(x, y, att->attbyval, att->attlen))
			return false;
	}
	return true;
}

/* Returns what the call site knows of rows of this type, made at the first call. */
static ShapeCache *
cached_shape(FmgrInfo *flinfo, HeapTupleHeader row)
{
	ShapeCache *cache = (ShapeCache *) flinfo->fn_extra;
	Oid type = HeapTupleHeaderGetTypeId(row);
	int32 typmod = HeapTupleHeaderGetTypMod(row);

	if (cache == NULL || cache->type != type || cache->typmod != typmod)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(flinfo->fn_mcxt);
		TupleDesc desc = lookup_rowtype_tupdesc(type, typmod);

		cache = palloc(sizeof(ShapeCache));
		cache->type = type;
		cache->typmod = typmod;
		cache->shape = derive_image_shape(desc);
		cache->values = palloc(sizeof(Datum) * Max(1, desc->natts));
		cache->nulls = palloc(sizeof(bool) * Max(1, desc->natts));
		ReleaseTupleDesc(desc);
		flinfo->fn_extra = cache;
		MemoryContextSwitchTo(oldcontext);
	}
	return cache;
}

/* Deforms a SQL function's record argument into what its call site remembers. */
static ShapeCache *
take_argument(FunctionCallInfo fcinfo)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	ShapeCache *cache = cached_shape(fcinfo->flinfo, row);
	TupleDesc desc = lookup_rowtype_tupdesc(cache->type, cache->typmod);
	HeapTupleData tuple;

	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	heap_deform_tuple(&tuple, desc, cache->values, cache->nulls);
	ReleaseTupleDesc(desc);
	return cache;
}

/* derive_state.row_image(record) -> bytea */
Datum
derive_row_image(PG_FUNCTION_ARGS)
{
	ShapeCache *cache = take_argument(fcinfo);
	MinimalTuple image = form_image(cache->shape, cache->values, cache->nulls);
	Size size = image->t_len;

	SET_VARSIZE(image, size);
	PG_RETURN_BYTEA_P((bytea *) image);
}

/* derive_state.row_hash(record) -> int8 */
Datum
derive_row_hash(PG_FUNCTION_ARGS)
{
	ShapeCache *cache = take_argument(fcinfo);

	PG_RETURN_INT64(hash_values(cache->shape, cache->values, cache->nulls));
}
