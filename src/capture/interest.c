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

void
derive_interest_write(StringInfo to, List *interest)
{
	ListCell *lc;

	write_number(to, list_length(interest));
	foreach (lc, interest)
	{
		InterestItem *item = lfirst(lc);
		int column = -1;

		write_number(to, item->source);
		write_number(to, item->every);
		write_number(to, bms_num_members(item->columns));
		while ((column = bms_next_member(item->columns, column)) >= 0)
			write_number(to, column);
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
		uint32 ncolumns;

		item->source = read_number(&data);
		item->every = read_number(&data) != 0;
		item->columns = NULL;
		ncolumns = read_number(&data);
		for (uint32 j = 0; j < ncolumns; j++)
			item->columns = bms_add_member(item->columns, read_number(&data));
		interest = lappend(interest, item);
	}
	return interest;
}
