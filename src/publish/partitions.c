/*-------------------------------------------------------------------------
 *
 * partitions.c
 *	  Retention: an outbox is partitioned by position, and old partitions are dropped.
 *
 * The last partition is open: it takes all positions from its first one on.  Once its
 * first event is older than an eighth of what is to be retained, it is closed at the
 * last position, and a new one begins.  A closed partition whose last event is older
 * than that is dropped, if all before it are: the clock may have been set back, and what
 * is kept has no hole.  Closing means detaching the partition and attaching it with
 * other bounds, which needs no scan: a constraint that holds by construction is given to
 * it first.
 *
 * What a processor has not handled yet, or has parked, is not dropped, nor what comes behind
 * it, however old it is.
 *
 * Both need an ACCESS EXCLUSIVE lock on the outbox until the tick commits.  It is
 * never waited for: if somebody reads, a later tick tries again, and events go on into the
 * open partition.
 *
 * Partitions lie in derive_state and belong to the outbox's owner, also after that
 * changed; what the owner's own indexes and their functions do is done as the owner.
 * A partition is made as a table by the bootstrap superuser and attached by the owner, who
 * needs no right to create anything in derive_state.
 *
 * Runs in the applier, and in create_outbox for the first partition.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "base/clock.h"
#include "base/owner.h"
#include "catalog/heap.h"
#include "catalog/namespace.h"
#include "catalog/outbox_catalog.h"
#include "catalog/pg_authid.h"
#include "catalog/processor_catalog.h"
#include "catalog/view_catalog.h"
#include "commands/tablecmds.h"
#include "maintain/view_set.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "publish/outbox_private.h"
#include "publish/partitions.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#define PARTITIONS_PER_RETENTION 8
#define LOOK_EVERY INT64CONST(10000) /* ms, at most, if nothing is due before */
#define RETRY_LOCKS 250				 /* ms, after a lock could not be had */

static bool at_work = false;

bool
derive_partitions_at_work(void)
{
	return at_work;
}

/* Runs one statement. */
static void
run(const char *sql)
{
	SPI_connect();
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	SPI_finish();
}

void
derive_partition_guard(const char *table)
{
	OwnerScope scope;

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID); /* the function is nobody else's */
	run(psprintf(
		"CREATE TRIGGER " DERIVE_APPEND_ONLY_TRIGGER
		" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s"
		" FOR EACH STATEMENT EXECUTE FUNCTION derive_state.reject_outbox_write()",
		table));
	run(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER " DERIVE_APPEND_ONLY_TRIGGER,
				 table));
	derive_owner_leave(&scope);
}

/* Runs a statement as the owner of an outbox. */
static void
run_as_owner(Oid outbox, const char *sql)
{
	OwnerScope scope;

	derive_owner_enter(&scope, derive_owner_of(outbox));
	run(sql);
	derive_owner_leave(&scope);
}

/* Returns the lower bound of a partition as it is written. */
static char *
lower_bound(int64 from)
{
	return from == 1 ? "MINVALUE" : psprintf("'" INT64_FORMAT "'", from);
}

/* Makes the open partition of an outbox, from a position on. */
static void
make_partition(Oid outbox, int64 id, int64 from)
{
	char *name = psprintf("outbox_" INT64_FORMAT "_" INT64_FORMAT, id, from);
	char *table = quote_qualified_identifier(DERIVE_STATE_SCHEMA, name);
	OwnerScope scope;

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	run(psprintf("CREATE TABLE %s (LIKE %s INCLUDING STORAGE INCLUDING COMPRESSION)",
				 table, derive_outbox_name(outbox)));
	run(psprintf("CREATE UNIQUE INDEX ON %s (id)", table));
	derive_partition_guard(table);
	ATExecChangeOwner(
		get_relname_relid(name, get_namespace_oid(DERIVE_STATE_SCHEMA, false)),
		derive_owner_of(outbox), false, AccessExclusiveLock);
	CommandCounterIncrement();
	derive_owner_leave(&scope);
	run_as_owner(outbox, psprintf("ALTER TABLE %s ATTACH PARTITION %s"
								  " FOR VALUES FROM (%s) TO (MAXVALUE)",
								  derive_outbox_name(outbox), table, lower_bound(from)));
}

void
derive_partition_make(Oid outbox, int64 id, int64 from)
{
	bool before = at_work;

	at_work = true;
	PG_TRY();
	{
		make_partition(outbox, id, from);
	}
	PG_FINALLY();
	{
		at_work = before;
	}
	PG_END_TRY();
}

/* ---------- what there is ---------- */

/* A partition: positions from up to, but not including, to. */
typedef struct Partition
{
	Oid relid;
	int64 from; /* 1: the first one */
	int64 to;	/* PG_INT64_MAX: open */
} Partition;

/* Returns the partitions of an outbox, which is locked, in order of positions. */
static List *
read_partitions(Oid outbox)
{
	Relation relation = table_open(outbox, NoLock);
	PartitionDesc desc = RelationGetPartitionDesc(relation, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	List *result = NIL;

	for (int i = 1; desc->nparts > 0 && i < bounds->ndatums; i++)
	{
		Partition *partition;

		if (bounds->indexes[i] < 0)
			continue;
		partition = palloc(sizeof(Partition));
		partition->relid = desc->oids[bounds->indexes[i]];
		partition->from = bounds->kind[i - 1][0] == PARTITION_RANGE_DATUM_MINVALUE
							  ? 1
							  : DatumGetInt64(bounds->datums[i - 1][0]);
		partition->to = bounds->kind[i][0] == PARTITION_RANGE_DATUM_MAXVALUE
							? PG_INT64_MAX
							: DatumGetInt64(bounds->datums[i][0]);
		result = lappend(result, partition);
	}
	table_close(relation, NoLock);
	return result;
}

Oid
derive_partition_open(Oid outbox)
{
	List *partitions = read_partitions(outbox);
	Partition *last = partitions == NIL ? NULL : llast(partitions);

	return last != NULL && last->to == PG_INT64_MAX ? last->relid : InvalidOid;
}

/*
 * Returns when a partition's first or last event was committed, or 0 if it is empty; as its
 * owner, because planning looks at indexes, which may call functions.
 */
static TimestampTz
event_time(Oid partition, bool last)
{
	TimestampTz result = 0;
	OwnerScope scope;
	bool isnull;

	SPI_connect();
	derive_owner_enter(&scope, derive_owner_of(partition));
	if (SPI_execute(psprintf("SELECT created_at FROM %s ORDER BY position %s LIMIT 1",
							 derive_outbox_name(partition), last ? "DESC" : ""),
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read a partition of an outbox");
	if (SPI_processed == 1)
		result = DatumGetTimestampTz(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	derive_owner_leave(&scope);
	SPI_finish();
	return result;
}

/* ---------- what is done ---------- */

/* Gives a partition the constraint that its bounds are; no row needs to be looked at. */
static void
add_bounds_constraint(const Partition *partition, int64 to)
{
	Relation relation = table_open(partition->relid, NoLock);
	Constraint *check = makeNode(Constraint);
	char *lower = partition->from == 1
					  ? ""
					  : psprintf("position >= '" INT64_FORMAT "'::bigint AND ",
								 partition->from);
	List *parsed = raw_parser(
		psprintf("SELECT %sposition < '" INT64_FORMAT "'::bigint", lower, to),
		RAW_PARSE_DEFAULT);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;

	check->contype = CONSTR_CHECK;
	check->conname = "pg_derive_positions";
	check->location = -1;
	check->raw_expr = linitial_node(ResTarget, select->targetList)->val;
	check->initially_valid = true;
	check->skip_validation = false;
	(void) AddRelationNewConstraints(relation, NIL, list_make1(check), false, true, true,
									 NULL);
	table_close(relation, NoLock);
	CommandCounterIncrement();
}

/* Closes the open partition behind the last event and begins a new one. */
static void
close_partition(Outbox *outbox, const Partition *open)
{
	char *table = derive_outbox_name(outbox->row.outbox);
	char *partition = derive_outbox_name(open->relid);
	int64 to = outbox->row.position + 1;
	OwnerScope scope;

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	add_bounds_constraint(open, to);
	derive_owner_leave(&scope);
	run_as_owner(outbox->row.outbox,
				 psprintf("ALTER TABLE %s DETACH PARTITION %s", table, partition));
	run_as_owner(outbox->row.outbox,
				 psprintf("ALTER TABLE %s ATTACH PARTITION %s"
						  " FOR VALUES FROM (%s) TO ('" INT64_FORMAT "')",
						  table, partition, lower_bound(open->from), to));
	derive_partition_make(outbox->row.outbox, outbox->row.id, to);
}

/* Drops a partition. */
static void
drop_partition(Outbox *outbox, const Partition *old)
{
	run_as_owner(outbox->row.outbox,
				 psprintf("DROP TABLE %s", derive_outbox_name(old->relid)));
	outbox->row.first = old->to;
}

/* Gives partitions to the outbox's owner, if that is another one now. */
static void
give_to_owner(Outbox *outbox, List *partitions)
{
	ListCell *lc;

	foreach (lc, partitions)
	{
		Oid relid = ((Partition *) lfirst(lc))->relid;

		if (derive_view_set_lock_now(relid, AccessShareLock) &&
			derive_owner_of(relid) != outbox->owner &&
			derive_view_set_lock_now(relid, AccessExclusiveLock))
			ATExecChangeOwner(relid, outbox->owner, false, AccessExclusiveLock);
	}
	CommandCounterIncrement();
}

/*
 * Does what is due.  Returns in how many milliseconds to look again.
 */
static int64
keep(Outbox *outbox)
{
	List *partitions = read_partitions(outbox->row.outbox);
	int64 period = Max(outbox->row.retain / PARTITIONS_PER_RETENTION, 1);
	TimestampTz now = GetCurrentTimestamp();
	int64 needed = derive_catalog_oldest_needed(outbox->row.id);
	bool exclusive = false;
	bool kept = false; /* a partition that was closed: those behind it stay, too */
	ListCell *lc;

	give_to_owner(outbox, partitions);
	foreach (lc, partitions)
	{
		Partition *partition = lfirst(lc);
		bool open = partition->to == PG_INT64_MAX;
		TimestampTz time;

		if (kept && !open)
			continue;
		if (!derive_view_set_lock_now(partition->relid, AccessShareLock))
			return RETRY_LOCKS;
		time = event_time(partition->relid, !open);
		kept = time > now - outbox->row.retain;
		if (open ? time == 0 || time > now - period : kept)
			continue;
		if (!open && partition->to > needed)
			break; /* and so are those behind it */
		exclusive = exclusive ||
					derive_view_set_lock_now(outbox->row.outbox, AccessExclusiveLock);
		if (!exclusive ||
			!derive_view_set_lock_now(partition->relid, AccessExclusiveLock))
			return RETRY_LOCKS;
		if (open)
			close_partition(outbox, partition);
		else
			drop_partition(outbox, partition);
	}
	return Min(period / 2000, LOOK_EVERY);
}

void
derive_partitions_keep(Outbox *outbox)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int64 first = outbox->row.first;
	volatile int64 wait = LOOK_EVERY;

	if (outbox->look_at_partitions > derive_clock_ms())
		return;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		at_work = true;
		wait = keep(outbox);
		at_work = false;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		at_work = false;
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		outbox->row.first = first;
		ereport(WARNING, (errmsg("could not keep the partitions of outbox \"%s\": %s",
								 get_rel_name(outbox->row.outbox), error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	outbox->look_at_partitions = derive_clock_ms() + wait;
	if (outbox->row.first != first)
	{
		SPI_connect();
		derive_catalog_write_outbox(&outbox->row);
		SPI_finish();
	}
}
