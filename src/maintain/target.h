/*-------------------------------------------------------------------------
 *
 * target.h
 *	  Finding and changing rows of a view's relation or of its fold state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_TARGET_H
#define DERIVE_MAINTAIN_TARGET_H

#include "maintain/delta.h"
#include "maintain/row_image.h"
#include "nodes/pg_list.h"

typedef enum TargetAccess
{
	TARGET_BY_KEY,	/* unique index on the key columns */
	TARGET_BY_HASH, /* index on derive_state.row_hash of the row */
	TARGET_ONLY_ROW /* at most one row, no index */
} TargetAccess;

/* What is known of a relation for as long as its runner lives. */
typedef struct TargetSpec
{
	Oid relid;
	TargetAccess access;
	List *key;		/* attnos (int list) for TARGET_BY_KEY */
	TupleDesc desc; /* a copy of the relation's */
	RowShape *shape;
	struct TargetHint *hints; /* where rows were last, private to target.c */
} TargetSpec;

/* The relation open for one run; opaque. */
typedef struct Target Target;

extern TargetSpec *derive_target_spec(Oid relid, TargetAccess access, List *key);

extern Target *derive_target_open(TargetSpec *spec, SourceDelta *out, bool first);
extern int64 derive_target_close(Target *target);
extern TargetSpec *derive_target_spec_of(Target *target);

extern TupleTableSlot *derive_target_find(Target *target, TupleTableSlot *row);
extern bool derive_target_same_key(Target *target, TupleTableSlot *a, TupleTableSlot *b);

extern void derive_target_insert(Target *target, TupleTableSlot *row);
extern void
derive_target_update(Target *target, TupleTableSlot *found, TupleTableSlot *row);
extern void derive_target_delete(Target *target, TupleTableSlot *found);
extern void
derive_target_replace(Target *target, TupleTableSlot *old, TupleTableSlot *new);
extern void derive_target_remove(Target *target, MinimalTuple image, int64 copies);

#endif /* DERIVE_MAINTAIN_TARGET_H */
