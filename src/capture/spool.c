/*-------------------------------------------------------------------------
 *
 * spool.c
 *	  Records of a large transaction that is still in progress.
 *
 * The reorder buffer keeps a transaction's changes in memory, up to
 * logical_decoding_work_mem.  What exceeds that it would write to disk as it is, all
 * columns of all tables, one system call per change.  Instead it hands the largest
 * transaction over while that is still in progress ("streaming"), and what the
 * views need of it is put aside here, in the form in which the applier takes it:
 * often a small part, written in large pieces, and done by the time it commits.
 *
 * A spool has a temporary file of chunks: length, records.  When a subtransaction puts
 * its first record, the position is remembered; when it aborts, the file ends there
 * again.  That is right because whatever follows while it is in progress belongs to it
 * or to its own subtransactions.
 *
 * Runs in the decoder.  The file is temporary and belongs to no resource owner; a
 * decoder that dies decodes, and spools, again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spool.h"

#include "lib/ilist.h"
#include "storage/buffile.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define CHUNK_SIZE (32 * 1024)

/* Where the records of a subtransaction start. */
typedef struct SpoolMark
{
	TransactionId xid; /* hash key */
	int fileno;
	off_t offset;
	int64 nchunks; /* before this position */
} SpoolMark;

/* A relation whose rows the transaction has changed. */
typedef struct SpoolChanged
{
	Oid relid; /* hash key */
	List *fed; /* oids of the sources that they fed */
} SpoolChanged;

/* What was below a source at the end of the last piece that looked. */
typedef struct SpoolTree
{
	Oid source; /* hash key */
	List *members;
} SpoolTree;

struct Spool
{
	dlist_node node;
	MemoryContext context;
	TransactionId xid;
	uint32 interest_version; /* when it was opened */
	RequestId request;
	WireBuffer buffer; /* records not in the file yet */
	BufFile *file;	   /* NULL until there is a full chunk */
	int64 nchunks;
	List *lost;	   /* oids of sources */
	HTAB *marks;   /* of SpoolMark; NULL without subtransactions */
	HTAB *changed; /* of SpoolChanged */
	HTAB *trees;   /* of SpoolTree */
	TransactionId
		last_xid; /* that put a record; it has a mark if it is a subtransaction */
};

static dlist_head spools = DLIST_STATIC_INIT(spools);

Spool *
derive_spool_find(TransactionId xid)
{
	dlist_iter iter;

	dlist_foreach (iter, &spools)
	{
		Spool *spool = dlist_container(Spool, node, iter.cur);

		if (spool->xid == xid)
			return spool;
	}
	return NULL;
}

/* Makes an empty hash table of structs that start with their key. */
static HTAB *
make_table(Spool *spool, const char *name, Size key_size, Size entry_size)
{
	HASHCTL info = {0};

	info.keysize = key_size;
	info.entrysize = entry_size;
	info.hcxt = spool->context;
	return hash_create(name, 64, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Makes an empty spool. */
Spool *
derive_spool_open(TransactionId xid, uint32 interest_version)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_derive spool",
												  ALLOCSET_DEFAULT_SIZES);
	Spool *spool = MemoryContextAllocZero(context, sizeof(Spool));

	spool->context = context;
	spool->xid = xid;
	spool->interest_version = interest_version;
	spool->changed = make_table(spool, "pg_derive spool changes", sizeof(Oid),
								sizeof(SpoolChanged));
	spool->trees = make_table(spool, "pg_derive spool trees", sizeof(Oid),
							  sizeof(SpoolTree));
	derive_wire_init(&spool->buffer, context);
	dlist_push_tail(&spools, &spool->node);
	return spool;
}

void
derive_spool_close(Spool *spool)
{
	dlist_delete(&spool->node);
	if (spool->file)
		BufFileClose(spool->file);
	MemoryContextDelete(spool->context);
}

/* Makes the spool's file, which outlives the transaction that decoding runs in. */
static void
make_file(Spool *spool)
{
	MemoryContext old = MemoryContextSwitchTo(spool->context);
	ResourceOwner owner = CurrentResourceOwner;

	CurrentResourceOwner = NULL;
	spool->file = BufFileCreateTemp(true);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
}

/* Writes the buffer as one chunk. */
static void
write_chunk(Spool *spool)
{
	Size len = spool->buffer.len;

	if (len == 0)
		return;
	if (spool->file == NULL)
		make_file(spool);
	BufFileWrite(spool->file, &len, sizeof(len));
	BufFileWrite(spool->file, spool->buffer.data, len);
	spool->nchunks++;
	derive_wire_reset(&spool->buffer);
}

/* Remembers that the records of a subtransaction start here, unless it is known. */
static void
add_mark(Spool *spool, TransactionId xid)
{
	SpoolMark *mark;
	bool found;

	if (spool->marks == NULL)
		spool->marks = make_table(spool, "pg_derive spool marks", sizeof(TransactionId),
								  sizeof(SpoolMark));
	mark = hash_search(spool->marks, &xid, HASH_ENTER, &found);
	if (found)
		return;
	write_chunk(spool);
	mark->nchunks = spool->nchunks;
	mark->fileno = 0;
	mark->offset = 0;
	if (spool->file)
		BufFileTell(spool->file, &mark->fileno, &mark->offset);
}

WireBuffer *
derive_spool_buffer(Spool *spool, TransactionId xid)
{
	if (xid != spool->xid && xid != spool->last_xid)
		add_mark(spool, xid);
	spool->last_xid = xid;
	return &spool->buffer;
}

void
derive_spool_full(Spool *spool)
{
	if (spool->buffer.len >= CHUNK_SIZE)
		write_chunk(spool);
}

/*
 * Each subtransaction of an aborted one is reported, too, in any order: its mark may
 * lie behind what is already the end.
 */
void
derive_spool_abort(Spool *spool, TransactionId xid)
{
	SpoolMark *mark = spool->marks ? hash_search(spool->marks, &xid, HASH_FIND, NULL)
								   : NULL;

	if (mark == NULL)
		return; /* it has put nothing */
	if (mark->nchunks <= spool->nchunks)
	{
		derive_wire_reset(&spool->buffer);
		if (spool->file &&
			BufFileSeek(spool->file, mark->fileno, mark->offset, SEEK_SET) != 0)
			elog(ERROR, "could not reposition the spool of a transaction");
		spool->nchunks = mark->nchunks;
	}
	hash_search(spool->marks, &xid, HASH_REMOVE, NULL);
	spool->last_xid = spool->xid;
}

RequestId *
derive_spool_request(Spool *spool)
{
	return &spool->request;
}

void
derive_spool_add_changed(Spool *spool, Oid relid, List *fed)
{
	MemoryContext old = MemoryContextSwitchTo(spool->context);
	bool found;
	SpoolChanged *changed = hash_search(spool->changed, &relid, HASH_ENTER, &found);

	changed->fed = list_concat_unique_oid(found ? changed->fed : NIL, fed);
	MemoryContextSwitchTo(old);
}

bool
derive_spool_has_changed(Spool *spool, Oid relid)
{
	return hash_search(spool->changed, &relid, HASH_FIND, NULL) != NULL;
}

bool
derive_spool_has_strays(Spool *spool, Oid source, List *members)
{
	HASH_SEQ_STATUS scan;
	SpoolChanged *changed;
	bool found = false;

	hash_seq_init(&scan, spool->changed);
	while ((changed = hash_seq_search(&scan)) != NULL)
		found |= list_member_oid(changed->fed, source) && changed->relid != source &&
				 !list_member_oid(members, changed->relid);
	return found;
}

void
derive_spool_set_members(Spool *spool, Oid source, List *members)
{
	MemoryContext old = MemoryContextSwitchTo(spool->context);
	bool found;
	SpoolTree *tree = hash_search(spool->trees, &source, HASH_ENTER, &found);

	if (found)
		list_free(tree->members);
	tree->members = list_copy(members);
	MemoryContextSwitchTo(old);
}

bool
derive_spool_get_members(Spool *spool, Oid source, List **members)
{
	SpoolTree *tree = hash_search(spool->trees, &source, HASH_FIND, NULL);

	if (tree != NULL)
		*members = tree->members;
	return tree != NULL;
}

void
derive_spool_add_lost(Spool *spool, Oid source)
{
	MemoryContext old = MemoryContextSwitchTo(spool->context);

	spool->lost = list_append_unique_oid(spool->lost, source);
	MemoryContextSwitchTo(old);
}

List *
derive_spool_lost(Spool *spool)
{
	return spool->lost;
}

bool
derive_spool_is_empty(Spool *spool)
{
	return spool->nchunks == 0 && spool->buffer.len == 0 && spool->lost == NIL;
}

uint32
derive_spool_interest_version(Spool *spool)
{
	return spool->interest_version;
}

/* Reads exactly so many bytes. */
static void
read_exactly(Spool *spool, void *data, Size len)
{
	if (BufFileRead(spool->file, data, len) != len)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read the spool of a transaction")));
}

void
derive_spool_send(Spool *spool, DecoderQueue *queue)
{
	write_chunk(spool);
	if (spool->nchunks == 0)
		return;
	if (BufFileSeek(spool->file, 0, 0, SEEK_SET) != 0)
		elog(ERROR, "could not rewind the spool of a transaction");
	for (int64 i = 0; i < spool->nchunks; i++)
	{
		Size len;

		read_exactly(spool, &len, sizeof(len));
		read_exactly(spool, derive_wire_reserve(&queue->buffer, len), len);
		derive_queue_full(queue);
	}
}
