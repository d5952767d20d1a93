-- A small bookstore, as some application might have it. Nothing in it knows of webhooks.

create table app_user (
    id integer primary key,
    name text not null
);

create table author (
    id integer primary key,
    name text not null
);

create table shelf (
    id integer generated always as identity primary key,
    user_id integer not null references app_user,
    label text not null
);

create table book (
    id integer generated always as identity primary key,
    shelf_id integer not null references shelf,
    author_id integer not null references author,
    title text not null,
    price numeric(8, 2) not null,
    bought_for numeric(8, 2) not null,
    added_at timestamptz not null default now()
);

insert into app_user (id, name)
values (1, 'anna'), (2, 'ben'), (3, 'cleo'), (4, 'dora');

insert into author (id, name)
values (1, 'Frank Herbert'), (2, 'Jane Austen'), (3, 'James Joyce'), (4, 'Ursula K. Le Guin'), (5, 'Stanisław Lem');

insert into shelf (user_id, label)
values (1, 'science fiction'), (2, 'classics'), (3, 'to read'), (4, 'given away');
