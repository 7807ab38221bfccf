/*-------------------------------------------------------------------------
 *
 * delta.c
 *	  The deltas of one tick, each in a tuplestore that spills by itself.
 *
 * A tuplestore is made with its first row, in a context of its own below the
 * transaction's and with the transaction's resource owner: a view is maintained
 * in a subtransaction, and what it appends for the views above it (or what
 * happens to come while it runs) must outlive that.  If the subtransaction
 * aborts, the caller resets the view's own delta.  When the transaction ends in
 * whatever way, the context's callback makes the delta empty again, so that no
 * pointer dangles; a transaction that commits must reset its deltas before, for
 * the sake of their files.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "base/compat.h"
#include "base/settings.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "maintain/delta.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* One delta may hold this part of pg_derive.batch_memory before it spills. */
#define DELTA_MEMORY_SHARE 4

/* Fewer rows are not worth netting. */
#define NETTING_ROWS 256

/* Returns the delta of a source, or NULL if the set has none. */
SourceDelta *
derive_delta_find(DeltaSet *set, Oid relid, bool only, bool keys_only)
{
	ListCell *lc;

	foreach (lc, set->sources)
	{
		SourceDelta *delta = (SourceDelta *) lfirst(lc);

		if (delta->relid == relid && delta->only == only && delta->keys_only == keys_only)
			return delta;
	}
	return NULL;
}

/* Makes a delta empty; called when the context of its rows goes. */
static void
forget_rows(void *arg)
{
	SourceDelta *delta = (SourceDelta *) arg;

	delta->rows = NULL;
	delta->nrows = 0;
	delta->lost = false;
	delta->lost_reason = NULL;
}

/* Makes the tuplestore of a delta. */
static void
begin_rows(SourceDelta *delta)
{
	MemoryContext context = AllocSetContextCreate(
		TopTransactionContext, "pg_derive delta", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	ResourceOwner oldowner = CurrentResourceOwner;
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	CurrentResourceOwner = TopTransactionResourceOwner;
	delta->rows = tuplestore_begin_heap(
		false, false, Max(64, derive_batch_memory / DELTA_MEMORY_SHARE));
	tuplestore_set_eflags(delta->rows, EXEC_FLAG_REWIND);
	CurrentResourceOwner = oldowner;

	callback->func = forget_rows;
	callback->arg = delta;
	MemoryContextRegisterResetCallback(context, callback);
	MemoryContextSwitchTo(oldcontext);
}

/* Adds a row that has desc's shape already; the row is copied. */
void
derive_delta_add_row(SourceDelta *delta, MinimalTuple row)
{
	HeapTupleData tuple;

	if (delta->rows == NULL)
		begin_rows(delta);

	/* The store copies a heap tuple's minimal part as it is. */
	tuple.t_len = row->t_len + MINIMAL_TUPLE_OFFSET;
	tuple.t_data = (HeapTupleHeader) ((char *) row - MINIMAL_TUPLE_OFFSET);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = delta->relid;
	tuplestore_puttuple(delta->rows, &tuple);
	delta->nrows++;
}

/*
 * Adds a row of the source itself with a sign.  Values stored out of line are
 * fetched, since the row that owns them may be gone when the delta is read.
 */
void
derive_delta_add_source_row(SourceDelta *delta, TupleTableSlot *row, int sign)
{
	MemoryContext oldcontext;
	TupleTableSlot *slot;

	if (delta->rows == NULL)
		begin_rows(delta);
	if (delta->slot == NULL)
	{
		oldcontext = MemoryContextSwitchTo(GetMemoryChunkContext(delta));
		delta->slot = MakeSingleTupleTableSlot(delta->desc, &TTSOpsVirtual);
		MemoryContextSwitchTo(oldcontext);
	}

	slot = ExecClearTuple(delta->slot);
	slot->tts_values[0] = Int32GetDatum(sign);
	slot->tts_isnull[0] = false;
	for (int i = 0; i < delta->ncolumns; i++)
	{
		Datum value = slot_getattr(row, delta->attnums[i], &slot->tts_isnull[i + 1]);

		if (!slot->tts_isnull[i + 1] && TupleDescAttr(delta->desc, i + 1)->attlen == -1 &&
			VARATT_IS_EXTERNAL(DatumGetPointer(value)))
			value = PointerGetDatum(
				detoast_external_attr((struct varlena *) DatumGetPointer(value)));
		slot->tts_values[i + 1] = value;
	}
	tuplestore_putvalues(delta->rows, delta->desc, slot->tts_values, slot->tts_isnull);
	delta->nrows++;
}

/* ---------- netting ---------- */

/* A row without its sign, and how often it appears minus how often it disappears. */
typedef struct NetRow
{
	MinimalTuple row; /* hash key; its sign is 0 */
	int64 net;
	uint32 hash;
	char status;
} NetRow;

/* Returns where a row of a delta holds its sign, the first attribute. */
static int32 *
sign_of(MinimalTuple row)
{
	return (int32 *) ((char *) row + row->t_hoff - MINIMAL_TUPLE_OFFSET);
}

#define SH_PREFIX net
#define SH_ELEMENT_TYPE NetRow
#define SH_KEY_TYPE MinimalTuple
#define SH_KEY row
#define SH_HASH_KEY(tb, key) hash_bytes((unsigned char *) (key), (key)->t_len)
#define SH_EQUAL(tb, a, b) ((a)->t_len == (b)->t_len && memcmp(a, b, (a)->t_len) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * Returns a row as it is counted: without its sign and, unless columns is NULL, without
 * the columns that are not among these.
 */
static MinimalTuple
make_net_row(SourceDelta *delta, TupleTableSlot *slot, Bitmapset *columns)
{
	MinimalTuple row;

	if (columns == NULL)
		row = ExecCopySlotMinimalTuple(slot);
	else
	{
		slot_getallattrs(slot);
		for (int i = 0; i < delta->ncolumns; i++)
			slot->tts_isnull[i + 1] |= !bms_is_member(delta->attnums[i], columns);
		row = derive_compat_form_minimal_tuple(delta->desc, slot->tts_values,
											   slot->tts_isnull);
	}
	*sign_of(row) = 0;
	return row;
}

/*
 * Counts all rows, see make_net_row; returns NULL if the different ones take more memory
 * than allowed.
 */
static net_hash *
count_rows(SourceDelta *delta, MemoryContext context, Bitmapset *columns)
{
	net_hash *hash = net_create(context, 1024, NULL);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(delta->desc, &TTSOpsMinimalTuple);
	int64 room = (int64) derive_batch_memory * 1024 / DELTA_MEMORY_SHARE;

	tuplestore_rescan(delta->rows);
	while (room > 0 && tuplestore_gettupleslot(delta->rows, true, false, slot))
	{
		bool isnull;
		int32 sign = DatumGetInt32(slot_getattr(slot, 1, &isnull));
		MinimalTuple row = make_net_row(delta, slot, columns);
		NetRow *entry;
		bool found;

		entry = net_insert(hash, row, &found);
		if (found)
			pfree(row);
		else
		{
			entry->net = 0;
			room -= row->t_len + sizeof(NetRow) * 2;
		}
		entry->net += sign;
	}
	ExecDropSingleTupleTableSlot(slot);
	return room > 0 ? hash : NULL;
}

/* Replaces the rows by what remains of them. */
static void
replace_rows(SourceDelta *delta, net_hash *hash)
{
	net_iterator iterator;
	NetRow *entry;

	derive_delta_reset(delta);
	net_start_iterate(hash, &iterator);
	while ((entry = net_iterate(hash, &iterator)) != NULL)
	{
		*sign_of(entry->row) = entry->net > 0 ? 1 : -1;
		for (int64 n = llabs(entry->net); n > 0; n--)
			derive_delta_add_row(delta, entry->row);
	}
}

/*
 * Cancels rows that appear and disappear, if the different rows fit into memory;
 * else leaves all as it is and returns false.
 */
static bool
cancel_rows(SourceDelta *delta)
{
	MemoryContext context;
	MemoryContext oldcontext;
	net_hash *hash;

	context = AllocSetContextCreate(CurrentMemoryContext, "pg_derive netting",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	hash = count_rows(delta, context, NULL);
	if (hash != NULL)
		replace_rows(delta, hash);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return hash != NULL;
}

/* Cancels rows, see delta.h.  In a join each row left out saves all its matches. */
void
derive_delta_net(SourceDelta *delta)
{
	if (delta->nrows >= NETTING_ROWS && !delta->lost && !delta->keys_only &&
		!delta->sampled)
		(void) cancel_rows(delta);
}

/* Tells whether some row of a delta disappears. */
static bool
has_leaving_row(SourceDelta *delta)
{
	TupleTableSlot *slot;
	bool found = false;

	if (delta->nrows == 0)
		return false;
	slot = MakeSingleTupleTableSlot(delta->desc, &TTSOpsMinimalTuple);
	tuplestore_rescan(delta->rows);
	while (!found && tuplestore_gettupleslot(delta->rows, true, false, slot))
	{
		bool isnull;

		found = DatumGetInt32(slot_getattr(slot, 1, &isnull)) < 0;
	}
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/* Returns what the rows of a delta that was counted do together. */
static DeltaEffect
counted_effect(net_hash *hash)
{
	DeltaEffect effect = DELTA_NOTHING;
	net_iterator iterator;
	NetRow *entry;

	net_start_iterate(hash, &iterator);
	while ((entry = net_iterate(hash, &iterator)) != NULL)
	{
		if (entry->net < 0)
			return DELTA_LEAVES;
		if (entry->net > 0)
			effect = DELTA_ARRIVES;
	}
	return effect;
}

/*
 * Tells what a delta, of which nothing is lost, does to some columns of its source, after
 * rows are cancelled.  So the rows that appear in a delta that only arrives are there now,
 * and of those that disappear, which differ from such ones in other columns only, the same
 * is true as far as these columns go.  If samples are taken of the source, whoever takes them
 * must see each row, and none is cancelled.
 */
DeltaEffect
derive_delta_effect(SourceDelta *delta, Bitmapset *columns)
{
	DeltaEffect effect = DELTA_LEAVES;
	MemoryContext context;
	MemoryContext oldcontext;
	net_hash *hash;

	if (has_leaving_row(delta) && (delta->sampled || !cancel_rows(delta)))
		return DELTA_LEAVES;
	if (!has_leaving_row(delta))
		return delta->nrows > 0 ? DELTA_ARRIVES : DELTA_NOTHING;
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_derive netting",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	hash = count_rows(delta, context, columns);
	if (hash != NULL)
		effect = counted_effect(hash);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return effect;
}

/* Frees the rows and takes back that some are lost. */
void
derive_delta_reset(SourceDelta *delta)
{
	if (delta->rows != NULL)
	{
		MemoryContext context = GetMemoryChunkContext(delta->rows);

		tuplestore_end(delta->rows);
		MemoryContextDelete(context); /* calls forget_rows */
	}
	forget_rows(delta);
}
