/*-------------------------------------------------------------------------
 *
 * layout.h
 *	  The shape of the rows that travel from the decoder to the applier.
 *
 * A row is a MinimalTuple: attribute 1 is the sign (int4: -1 for an old row, +1
 * for a new one), then the wanted columns of the source in attnum order.  A
 * layout names the source and these columns with their types as they were when
 * the row was written; it is sent before the first row of its shape.
 *
 * Keys are rows of a layout of their own: the columns are those of a key of the source,
 * the sign is always +1, and a change has the key that the row had, unless it is the
 * same, and the one that it has.  Views that look the rows up themselves take them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_LAYOUT_H
#define DERIVE_CHANGE_LAYOUT_H

#include "access/attnum.h"
#include "access/tupdesc.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"

#define DERIVE_SIGN_COLUMN "__sign"

typedef struct RowLayout
{
	uint32 id;		/* unique within the life of a decoder */
	Oid source;		/* relation whose rows these are (root of a tree) */
	bool inherited; /* they are stored in a table below: no rows of ONLY the source */
	bool keys_only; /* these are keys */
	int ncolumns;
	AttrNumber *attnums; /* [ncolumns], of the source, ascending */
	TupleDesc desc;		 /* 1 + ncolumns attributes: sign, then the columns */
} RowLayout;

/* A relation that some view reads, and the columns it needs of it (plain attnums). */
typedef struct InterestItem
{
	Oid source;
	bool rows;			/* rows are wanted */
	Bitmapset *columns; /* of these */
	Bitmapset *keys;	/* columns of the key, if keys are wanted, too */
	bool every; /* all columns, whatever they are, and updates that change nothing */
	bool moves; /* updates that change nothing */
} InterestItem;

/*
 * Makes the tuple descriptor of a layout out of the source's own: sign plus the
 * given columns, in CurrentMemoryContext.
 */
extern TupleDesc
derive_layout_make_desc(TupleDesc source_desc, int ncolumns, const AttrNumber *attnums);

#endif /* DERIVE_CHANGE_LAYOUT_H */
