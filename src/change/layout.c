/*-------------------------------------------------------------------------
 *
 * layout.c
 *	  The shape of the rows that travel from the decoder to the applier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/layout.h"

#include "catalog/pg_type.h"

TupleDesc
derive_layout_make_desc(TupleDesc source_desc, int ncolumns, const AttrNumber *attnums)
{
	TupleDesc desc = CreateTemplateTupleDesc(ncolumns + 1);

	TupleDescInitBuiltinEntry(desc, 1, DERIVE_SIGN_COLUMN, INT4OID, -1, 0);
	for (int i = 0; i < ncolumns; i++)
		TupleDescCopyEntry(desc, i + 2, source_desc, attnums[i]);
	return desc;
}
