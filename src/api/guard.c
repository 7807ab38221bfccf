/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Commands that would change a view behind pg_derive's back.
 *
 * A view's table has exactly its query's columns and rows.  Its owner may rename,
 * move, index, cluster, analyze it, give it away and set its storage; what would
 * change its columns, restrict its rows, divert writes or take the read-only trigger
 * away is refused here, before the command runs.  (That trigger and the key's index
 * cannot be dropped because they depend internally on the table.)  Nothing is looked
 * up for other commands than these few.  The same holds for outboxes and their partitions,
 * whose trigger a restore may bring.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/guard.h"

#include "catalog/namespace.h"
#include "catalog/outbox_catalog.h"
#include "catalog/partition.h"
#include "catalog/view_catalog.h"
#include "nodes/parsenodes.h"
#include "publish/partitions.h"
#include "utils/lsyscache.h"

/* Returns true if a relation is an outbox or a partition of one. */
static bool
is_outbox(const RangeVar *relation)
{
	Oid relid = RangeVarGetRelid(relation, NoLock, true);

	return OidIsValid(relid) &&
		   (derive_catalog_has_outbox(relid) ||
			(get_rel_relispartition(relid) &&
			 derive_catalog_has_outbox(get_partition_parent(relid, true))));
}

/* Returns true if a name in a command is that of a derived view or an outbox. */
static bool
is_view(const RangeVar *relation)
{
	Oid relid = RangeVarGetRelid(relation, NoLock, true);

	return OidIsValid(relid) && (derive_catalog_has_view(relid) || is_outbox(relation));
}

/* Refuses a command; hint: what to do instead if it is a derived view. */
static void
refuse(const RangeVar *relation, const char *hint)
{
	if (is_outbox(relation))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot do this to outbox \"%s\"", relation->relname),
				 errdetail("Its rows are written by the pipeline and never changed."),
				 errhint("Drop it and create another one, or read it by a view.")));
	ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("cannot do this to derived view \"%s\"", relation->relname),
					errdetail("Its columns and rows follow from its query."),
					errhint("%s", hint)));
}

bool
derive_guard_is_own_trigger(Node *command)
{
	CreateTrigStmt *create = (CreateTrigStmt *) command;

	return IsA(command, CreateTrigStmt) && list_length(create->funcname) == 2 &&
		   strcmp(strVal(linitial(create->funcname)), DERIVE_STATE_SCHEMA) == 0 &&
		   strcmp(strVal(lsecond(create->funcname)), "reject_outbox_write") == 0;
}

/* Returns true if a part of ALTER TABLE leaves columns, rows and guard alone. */
static bool
is_harmless(AlterTableType type)
{
	switch (type)
	{
		case AT_ChangeOwner:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetTableSpace:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplaceRelOptions:
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_ReplicaIdentity:
		case AT_EnableRowSecurity:
		case AT_DisableRowSecurity:
			return true;
		default:
			return false;
	}
}

/* Returns true if a part of ALTER TABLE is how a restore makes an outbox what it is. */
static bool
is_restore(const AlterTableCmd *part)
{
	return part->subtype == AT_EnableAlwaysTrig ||
		   (part->subtype == AT_AddConstraint &&
			((Constraint *) part->def)->contype == CONSTR_PRIMARY);
}

/* Checks ALTER TABLE: of a view, and of what would inherit from one. */
static void
check_alter(const AlterTableStmt *alter)
{
	bool checked = false;
	ListCell *lc;

	foreach (lc, alter->cmds)
	{
		const AlterTableCmd *part = lfirst_node(AlterTableCmd, lc);

		if (part->subtype == AT_AddInherit && is_view((RangeVar *) part->def))
			refuse((RangeVar *) part->def, "Do not inherit from it.");
		if (is_harmless(part->subtype) || checked)
			continue;
		if (is_restore(part) && is_outbox(alter->relation))
			continue;
		checked = true;
		if (is_view(alter->relation))
			refuse(alter->relation, "Drop it and create it with another query.");
	}
}

/* Checks CREATE TABLE … INHERITS. */
static void
check_create(const CreateStmt *create)
{
	ListCell *lc;

	foreach (lc, create->inhRelations)
		if (is_view(lfirst_node(RangeVar, lc)))
			refuse(lfirst_node(RangeVar, lc), "Do not inherit from it.");
}

/* Throws if a utility command would do to a derived view what must not be done. */
void
derive_guard_check(Node *command)
{
	if (derive_partitions_at_work())
		return;
	if (IsA(command, AlterTableStmt) &&
		((AlterTableStmt *) command)->objtype == OBJECT_TABLE)
		check_alter((AlterTableStmt *) command);
	else if (IsA(command, CreateStmt))
		check_create((CreateStmt *) command);
	else if (IsA(command, CreateTrigStmt) && !derive_guard_is_own_trigger(command) &&
			 is_view(((CreateTrigStmt *) command)->relation))
		refuse(((CreateTrigStmt *) command)->relation,
			   "Put the trigger on the tables that the query reads.");
	else if (IsA(command, RuleStmt) && is_view(((RuleStmt *) command)->relation))
		refuse(((RuleStmt *) command)->relation,
			   "Create an ordinary view over it and the rule on that.");
}
