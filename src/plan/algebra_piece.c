/*-------------------------------------------------------------------------
 *
 * algebra_piece.c
 *	  A SELECT of a delta under construction, and its parts as text.
 *
 * A piece is what one term says after its columns: items of FROM that are joined by commas,
 * conditions that all must hold, and factors of the sign.  It becomes the SELECT of a term, a
 * subquery, or a side of a join.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "change/layout.h"
#include "plan/algebra_private.h"

/* An item of FROM. */
typedef struct FromItem
{
	char *sql;
	bool join; /* needs parentheses within another join */
} FromItem;

/*
 * Returns texts with a separator between them.
 */
char *
derive_piece_join_texts(List *texts, const char *separator)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, texts)
		appendStringInfo(&sql, "%s%s", sql.len > 0 ? separator : "", (char *) lfirst(lc));
	return sql.data;
}

/*
 * Adds an item of FROM to a piece.
 */
void
derive_piece_add_item(Piece *piece, char *sql, bool join)
{
	FromItem *item = palloc_object(FromItem);

	item->sql = sql;
	item->join = join;
	piece->items = lappend(piece->items, item);
}

/*
 * Returns an item as one side of a join.
 */
static char *
item_side(FromItem *item)
{
	return item->join ? psprintf("(%s)", item->sql) : item->sql;
}

/*
 * Returns all items of a piece as one side of a join.  Conditions are left out.
 */
char *
derive_piece_side(Piece *piece)
{
	List *sides = NIL;
	ListCell *lc;

	foreach (lc, piece->items)
		sides = lappend(sides, item_side(lfirst(lc)));
	return list_length(sides) == 1
			   ? linitial(sides)
			   : psprintf("(%s)", derive_piece_join_texts(sides, " CROSS JOIN "));
}

/*
 * Returns all items of a piece, with its conditions, as one side of a join.
 */
char *
derive_piece_closed_side(Piece *piece)
{
	if (piece->quals == NIL)
		return derive_piece_side(piece);
	return psprintf("(%s JOIN (VALUES (0)) one(c) ON %s)", derive_piece_side(piece),
					derive_piece_join_texts(piece->quals, " AND "));
}

/*
 * Returns " FROM items WHERE conditions" of a piece.
 */
char *
derive_piece_from_where(Piece *piece)
{
	StringInfoData sql;
	List *items = NIL;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, piece->items)
		items = lappend(items, ((FromItem *) lfirst(lc))->sql);
	if (items != NIL)
		appendStringInfo(&sql, "\n   FROM %s", derive_piece_join_texts(items, ",\n    "));
	if (piece->quals != NIL)
		appendStringInfo(&sql, "\n  WHERE %s",
						 derive_piece_join_texts(piece->quals, " AND "));
	return sql.data;
}

/*
 * Returns "alias.__sign", or its opposite.
 */
char *
derive_piece_signed_column(const char *alias, bool opposite)
{
	return psprintf(opposite ? "(- %s.%s)" : "%s.%s", alias,
					quote_identifier(DERIVE_SIGN_COLUMN));
}

/*
 * Returns the sign of a piece's rows.
 */
char *
derive_piece_sign(Piece *piece)
{
	return piece->signs != NIL ? derive_piece_join_texts(piece->signs, " * ") : "1";
}

/*
 * Returns a piece as a SELECT of its sign and of columns.
 */
char *
derive_piece_select(DeltaWriter *writer, Piece *piece, List *columns, const int *names)
{
	char *list = derive_text_select_list(writer->text, columns, names);
	char *sign = derive_piece_sign(piece);

	if (strchr(sign, ' ') != NULL)
		sign = psprintf("%s AS %s", sign, quote_identifier(DERIVE_SIGN_COLUMN));
	return psprintf(" SELECT %s%s%s%s", sign, list[0] != '\0' ? ",\n    " : "", list,
					derive_piece_from_where(piece));
}

/*
 * Adds conditions to a piece.
 */
void
derive_piece_add_conditions(DeltaWriter *writer, List *conditions, const int *names,
							Piece *piece)
{
	ListCell *lc;

	foreach (lc, conditions)
		piece->quals = lappend(piece->quals,
							   derive_text_expression(writer->text, lfirst(lc), names));
}
