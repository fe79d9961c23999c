-- UUIDv5 inside the database, for rows whose name is only known there (the second grant of an allocation, a missing
-- event). The hot path gets its names from Python: SHA-1 in plpgsql costs some hundred microseconds.

create function kc.sha1(message bytea) returns bytea language plpgsql immutable strict as $$
declare
    m32 constant bigint := 4294967295;
    size integer := length(message);
    padded bytea := message || '\x80'::bytea;
    h0 bigint := 1732584193; h1 bigint := 4023233417; h2 bigint := 2562383102; h3 bigint := 271733878; h4 bigint := 3285377520;
    a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; k bigint; t bigint;
    w bigint[];
begin
    while length(padded) % 64 <> 56 loop
        padded := padded || '\x00'::bytea;
    end loop;
    padded := padded || int8send(size::bigint * 8);
    for block in 0 .. length(padded) / 64 - 1 loop
        w := array_fill(0::bigint, array[80]);
        for i in 0 .. 15 loop
            w[i + 1] := (get_byte(padded, block * 64 + i * 4)::bigint << 24) | (get_byte(padded, block * 64 + i * 4 + 1) << 16)
                | (get_byte(padded, block * 64 + i * 4 + 2) << 8) | get_byte(padded, block * 64 + i * 4 + 3);
        end loop;
        for i in 17 .. 80 loop
            t := w[i - 3] # w[i - 8] # w[i - 14] # w[i - 16];
            w[i] := ((t << 1) | (t >> 31)) & m32;
        end loop;
        a := h0; b := h1; c := h2; d := h3; e := h4;
        for i in 1 .. 80 loop
            if i <= 20 then f := (b & c) | ((m32 # b) & d); k := 1518500249;
            elsif i <= 40 then f := b # c # d; k := 1859775393;
            elsif i <= 60 then f := (b & c) | (b & d) | (c & d); k := 2400959708;
            else f := b # c # d; k := 3395469782;
            end if;
            t := ((((a << 5) | (a >> 27)) & m32) + f + e + k + w[i]) & m32;
            e := d; d := c; c := ((b << 30) | (b >> 2)) & m32; b := a; a := t;
        end loop;
        h0 := (h0 + a) & m32; h1 := (h1 + b) & m32; h2 := (h2 + c) & m32; h3 := (h3 + d) & m32; h4 := (h4 + e) & m32;
    end loop;
    return decode(lpad(to_hex(h0), 8, '0') || lpad(to_hex(h1), 8, '0') || lpad(to_hex(h2), 8, '0')
        || lpad(to_hex(h3), 8, '0') || lpad(to_hex(h4), 8, '0'), 'hex');
end $$;

create function kc.uuid5(name text) returns uuid language plpgsql immutable strict as $$
declare
    digest bytea := substr(kc.sha1(uuid_send('5f2c1d0e-7a64-5b8e-9c57-6b6361637472') || convert_to(name, 'UTF8')), 1, 16);
begin
    digest := set_byte(digest, 6, (get_byte(digest, 6) & 15) | 80);
    digest := set_byte(digest, 8, (get_byte(digest, 8) & 63) | 128);
    return encode(digest, 'hex')::uuid;
end $$;

create function kc.event_id(purchase uuid, type text, turn text) returns uuid language sql immutable strict
return kc.uuid5('event:' || purchase || ':' || type || ':' || turn);
