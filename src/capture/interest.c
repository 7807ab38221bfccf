/*-------------------------------------------------------------------------
 *
 * interest.c
 *	  The set of relations and columns that some view reads, as bytes.
 *
 * The applier writes the set into a dynamic shared memory segment of its own and
 * puts handle and version into the stream's segment; the decoder takes it over
 * between two records of the log.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/interest.h"

/* Appends one number. */
static void
write_number(StringInfo to, uint32 number)
{
	appendBinaryStringInfo(to, (const char *) &number, sizeof(number));
}

/* Reads one number and moves on. */
static uint32
read_number(const char **from)
{
	uint32 number;

	memcpy(&number, *from, sizeof(number));
	*from += sizeof(number);
	return number;
}

/* Appends a set of columns. */
static void
write_columns(StringInfo to, Bitmapset *columns)
{
	int column = -1;

	write_number(to, bms_num_members(columns));
	while ((column = bms_next_member(columns, column)) >= 0)
		write_number(to, column);
}

/* Reads a set of columns and moves on. */
static Bitmapset *
read_columns(const char **from)
{
	Bitmapset *columns = NULL;
	uint32 ncolumns = read_number(from);

	for (uint32 i = 0; i < ncolumns; i++)
		columns = bms_add_member(columns, read_number(from));
	return columns;
}

void
derive_interest_write(StringInfo to, List *interest)
{
	ListCell *lc;

	write_number(to, list_length(interest));
	foreach (lc, interest)
	{
		InterestItem *item = lfirst(lc);

		write_number(to, item->source);
		write_number(to, item->every);
		write_number(to, item->moves);
		write_number(to, item->rows);
		write_columns(to, item->columns);
		write_columns(to, item->keys);
	}
}

List *
derive_interest_read(const char *data)
{
	List *interest = NIL;
	uint32 nitems = read_number(&data);

	for (uint32 i = 0; i < nitems; i++)
	{
		InterestItem *item = palloc(sizeof(InterestItem));

		item->source = read_number(&data);
		item->every = read_number(&data) != 0;
		item->moves = read_number(&data) != 0;
		item->rows = read_number(&data) != 0;
		item->columns = read_columns(&data);
		item->keys = read_columns(&data);
		interest = lappend(interest, item);
	}
	return interest;
}
